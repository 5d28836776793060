//! The master key, which wraps the key of a key file: from a file, or from a command that asks whoever keeps it.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use ring::digest;

use crate::file::Files;

const BYTES_MAX: u64 = 4_096;
const BYTES_MIN: usize = 16;
/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the keys of people are kept, and what wraps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonalKeysOptions {
    /// The key file; `keys/personal` in the trail's folder if not given.
    pub file: Option<PathBuf>,
    /// The master key, without which nobody can use the file.
    pub master: Option<MasterKey>,
}

/// Where the master key comes from: at least 16 bytes, of which the white space at the end does not count.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKey {
    /// A file.
    File(PathBuf),
    /// What this shell command prints.
    Command(String),
}

impl std::fmt::Debug for MasterKey {
    /// Without the text of a command, which may hold a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MasterKey::File(path) => formatter.debug_tuple("File").field(path).finish(),
            MasterKey::Command(_) => formatter.write_str("Command(..)"),
        }
    }
}

impl MasterKey {
    /// The key: a hash of what was given, so that any text will do.
    pub(super) fn load(&self, files: &dyn Files) -> io::Result<[u8; 32]> {
        let text = match self {
            MasterKey::File(path) => files.read(path, BYTES_MAX)?,
            MasterKey::Command(command) => output_of(command, COMMAND_TIMEOUT)?,
        };
        let text = text.trim_ascii_end();
        if text.len() < BYTES_MIN {
            let what = format!("it has {} bytes: a master key has at least {BYTES_MIN}", text.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"trailseal-personal-master@v1\0");
        hash.update(text);
        hash.finish().as_ref().try_into().map_err(io::Error::other)
    }

    /// What it is, for messages.
    pub(super) fn described(&self) -> String {
        match self {
            MasterKey::File(path) => format!("the master key in {}", path.display()),
            MasterKey::Command(_) => "the master key from its command".to_owned(),
        }
    }
}

fn output_of(command: &str, timeout: Duration) -> io::Result<Vec<u8>> {
    let shell =
        Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut shell = shell?;
    let out = shell.stdout.take();
    let (printed, all_of_it) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = out.map_or(Ok(0), |out| out.take(BYTES_MAX).read_to_end(&mut text)).map(|_| text);
        let _ = printed.send(read);
    });
    let deadline = Instant::now() + timeout;
    let too_long = |what: &str| {
        let what = format!("{what} over {} seconds", timeout.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, what)
    };
    let status = loop {
        match shell.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                shell.kill()?;
                shell.wait()?;
                return Err(too_long("it took"));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(io::Error::other(format!("it failed ({status})")));
    }
    // What it left running may hold its output open, and could still print a part of the key. What it printed itself is read at
    // once, also where the machine slept beyond the deadline.
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    match all_of_it.recv_timeout(left) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => Err(too_long("what it started kept its output open for")),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("what it printed was lost")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::StdFiles;

    #[test]
    fn a_master_key_comes_from_a_file_or_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master");
        std::fs::write(&path, "correct horse battery\n").unwrap();
        let file = MasterKey::File(path.clone()).load(&StdFiles).unwrap();
        let command = |text: &str| MasterKey::Command(text.to_owned()).load(&StdFiles);
        assert_eq!(command("echo correct horse battery").unwrap(), file);
        assert_ne!(command("echo correct horse batterz").unwrap(), file);
        assert!(command("echo short").unwrap_err().to_string().contains("at least 16"));
        assert!(command("exit 3").unwrap_err().to_string().contains("failed"));
        let error = output_of("echo correct horse battery; sleep 30 &", Duration::from_secs(8)).unwrap_err();
        assert!(error.to_string().contains("kept its output open"), "{error}");
        assert!(
            output_of("sleep 30", Duration::from_secs(1)).unwrap_err().to_string().contains("it took over")
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(MasterKey::File(path).load(&StdFiles).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
