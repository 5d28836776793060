//! A real server in a fresh folder, and clients that speak HTTP/1.1 to it over plain sockets: what a test sends is what
//! goes over the wire.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Lines, PATIENCE, Place, Running, wait_until};

/// Longer than the server takes for anything.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// `trailseal serve` on a free port, ended with the test.
pub struct Server<'a> {
    place: &'a Place,
    options: Vec<String>,
    surroundings: Surroundings,
    running: Option<Running>,
    pub address: SocketAddr,
    /// The admin token that the first start printed; empty where there was none.
    pub token: String,
    log: Arc<Mutex<String>>,
    /// Reads what the running one writes on stderr.
    reader: Option<JoinHandle<()>>,
}

/// What it is started in.
enum Surroundings {
    Usual,
    /// What a shell's `ulimit` is told before.
    Limit(String),
    /// The size of a file system of its own.
    SmallDisk(String),
}

impl<'a> Server<'a> {
    pub fn start(place: &'a Place) -> Server<'a> {
        Server::with(place, &[])
    }

    /// With more options than `--listen`.
    pub fn with(place: &'a Place, options: &[&str]) -> Server<'a> {
        Server::begin(place, options, Surroundings::Usual, "")
    }

    /// One that shares a store where there is a token already: its first start prints none.
    pub fn knowing(place: &'a Place, options: &[&str], token: &str) -> Server<'a> {
        Server::begin(place, options, Surroundings::Usual, token)
    }

    /// As a shell starts it after `ulimit` with these words.
    pub fn limited(place: &'a Place, options: &[&str], limit: &str) -> Server<'a> {
        Server::begin(place, options, Surroundings::Limit(limit.to_owned()), "")
    }

    /// With a file system of its own, of this size, as `small`; `None` where this system makes none for a test.
    pub fn on_small_disk(place: &'a Place, options: &[&str], size: &str) -> Option<Server<'a>> {
        place.command_on_small_disk(&[], size)?;
        Some(Server::begin(place, options, Surroundings::SmallDisk(size.to_owned()), ""))
    }

    fn begin(place: &'a Place, options: &[&str], surroundings: Surroundings, token: &str) -> Server<'a> {
        let mut server = Server {
            place,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            surroundings,
            running: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: token.to_owned(),
            log: Arc::default(),
            reader: None,
        };
        server.launch();
        server
    }

    /// Starts it again, on another port.
    pub fn launch(&mut self) {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0"];
        arguments.extend(self.options.iter().map(String::as_str));
        let is_first = self.token.is_empty()
            && !self.place.path("trail/tokens.json").exists()
            && !self.options.iter().any(|option| option == "--open");
        let mut command = match &self.surroundings {
            Surroundings::Usual => self.place.command(&arguments),
            Surroundings::Limit(limit) => self.place.limited_command(&arguments, limit),
            Surroundings::SmallDisk(size) => self.place.command_on_small_disk(&arguments, size).unwrap(),
        };
        let mut child = Running(command.spawn().unwrap());
        let log = self.log.clone();
        let stderr = child.0.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        self.reader = Some(reader);
        let lines = Lines::of(child.0.stdout.take().unwrap());
        let url = lines.wait();
        let address = url.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{url}"));
        self.address = address.parse().unwrap();
        assert!(lines.wait().starts_with("data in "));
        if is_first {
            let line = lines.wait();
            let start = line.find("tsl_").unwrap_or_else(|| panic!("no token in {line:?}"));
            self.token = line[start..].to_owned();
        }
        self.running = Some(child);
    }

    /// What it has written on stderr, in all of its lives.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has written this on stderr: another thread reads it, maybe later than the answer to a request.
    pub fn tells(&self, what: &str) {
        let begun = Instant::now();
        while !self.log().contains(what) {
            assert!(begun.elapsed() < PATIENCE, "not {what:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.running.as_ref().unwrap().0.id()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    /// Asks it to stop, and does not wait.
    pub fn terminate(&self) {
        let child = &self.running.as_ref().unwrap().0;
        let process = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// Sends it back to its settings.
    pub fn hang_up(&self) {
        let process = rustix::process::Pid::from_child(&self.running.as_ref().unwrap().0);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().unwrap();
        let mut status = None;
        wait_until("the server stops", || {
            status = running.0.try_wait().unwrap();
            status.is_some()
        });
        // Then the log is whole.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.unwrap()
    }

    /// Stops it as a service manager would; it must end well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Stops and starts it.
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Somebody who may do everything.
    pub fn admin(&self) -> Client {
        self.client(&self.token)
    }

    /// Somebody with this token; with none if it is empty.
    pub fn client(&self, token: &str) -> Client {
        Client { address: self.address, token: token.to_owned(), headers: String::new() }
    }

    /// Makes a token with a body of `POST /v1/tokens`, and gives its holder.
    #[track_caller]
    pub fn holder(&self, request: &str) -> Client {
        let answer = self.admin().post("/v1/tokens", request).is(201).json();
        self.client(answer["token"].as_str().unwrap())
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = connect(self.address).unwrap();
        // It may answer before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Somebody who asks, with a connection for each request.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub token: String,
    headers: String,
}

impl Client {
    /// The same with another header.
    pub fn header(&self, name: &str, value: &str) -> Client {
        Client { headers: format!("{}{name}: {value}\r\n", self.headers), ..self.clone() }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.ask("POST", path, body.as_ref())
    }

    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let mut connection = Connection::open(self).unwrap();
        connection.try_ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Records events that must all be taken, and waits until they are durable, so that they are found.
    #[track_caller]
    pub fn record(&self, body: impl AsRef<[u8]>) -> Vec<Value> {
        let answer = self.post("/v1/events?ack=durable", body);
        // Where the disk is busy with other tests, the policy's two seconds may not be enough: the events are kept all the same.
        let is_late = answer.status == 504;
        let events =
            if is_late { answer } else { answer.is(202) }.json()["events"].as_array().unwrap().clone();
        if let Some(last) = events.last().filter(|_| is_late) {
            let id = format!("system=true&id=id:{}", last["id"].as_str().unwrap());
            wait_until("the events are durable", || self.count(&id) == 1);
        }
        events
    }

    /// How many events match.
    #[track_caller]
    pub fn count(&self, filter: &str) -> u64 {
        self.get(&format!("/v1/events?count=true&{filter}")).is(200).json()["count"].as_u64().unwrap()
    }

    /// The server-sent events of a path.
    #[track_caller]
    pub fn stream(&self, path: &str) -> Stream {
        let mut connection = Connection::open(self).unwrap();
        connection.send("GET", path, b"").unwrap();
        let (status, headers) = connection.head().unwrap();
        assert_eq!(status, 200, "{headers:?}");
        Stream { connection }
    }

    fn head(&self, method: &str, path: &str, length: usize) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n{}", self.headers);
        if !self.headers.to_ascii_lowercase().contains("host:") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        if !self.token.is_empty() {
            head.push_str(&format!("Authorization: Bearer {}\r\n", self.token));
        }
        head.push_str("\r\n");
        head
    }
}

/// A connection on which one request follows the other.
pub struct Connection {
    client: Client,
    stream: BufReader<TcpStream>,
}

type Headers = Vec<(String, String)>;

impl Connection {
    pub fn open(client: &Client) -> io::Result<Connection> {
        let stream = BufReader::with_capacity(1 << 16, connect(client.address)?);
        Ok(Connection { client: client.clone(), stream })
    }

    pub fn try_ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        // It may answer, and close, before it has read everything.
        let sent = self.send(method, path, body);
        self.answer(method == "HEAD").map_err(|error| sent.err().unwrap_or(error))
    }

    /// Sends a request, whose answer may be read later.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<()> {
        let mut bytes = self.client.head(method, path, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)
    }

    /// Reads one answer.
    pub fn answer(&mut self, is_without_body: bool) -> io::Result<Response> {
        let (status, headers) = self.head()?;
        let mut response = Response { status, headers, body: Vec::new() };
        let length = response.header("content-length").map(|text| text.parse::<u64>().unwrap());
        if is_without_body || matches!(status, 204 | 304) {
            return Ok(response);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            while let Some(mut chunk) = self.chunk()? {
                response.body.append(&mut chunk);
            }
        } else if let Some(length) = length {
            response.body = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut response.body)?;
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    fn head(&mut self) -> io::Result<(u16, Headers)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed.parse(&head).map_err(io::Error::other)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers =
            parsed.headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value)));
        Ok((parsed.code.unwrap(), headers.collect()))
    }

    /// The next chunk; `None` behind the last.
    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }
}

/// A server's response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// It has this status. A refusal is a problem document.
    #[track_caller]
    pub fn is(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        if status >= 400 {
            self.is_problem();
        }
        self
    }

    /// It is a problem document.
    #[track_caller]
    pub fn is_problem(&self) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
    }

    /// Its problem document has these members.
    #[track_caller]
    pub fn says(self, expected: Value) -> Response {
        let problem = self.json();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&problem[name], value, "{name}: {problem}");
        }
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The members of `events`.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().unwrap_or_else(|| panic!("{}", self.text())).clone()
    }
}

/// Server-sent events, one after the other.
pub struct Stream {
    connection: Connection,
}

/// One of them.
#[derive(Debug)]
pub struct Message {
    pub id: String,
    /// `None` for one that only says where the stream stands.
    pub data: Option<Value>,
}

impl Stream {
    /// The next message; `None` once the server has ended the stream.
    pub fn next(&mut self) -> Option<Message> {
        loop {
            // The server sends whole messages, each in a chunk of its own.
            let chunk = self.connection.chunk().ok()??;
            let text = String::from_utf8(chunk).unwrap();
            assert!(text.ends_with("\n\n"), "{text:?}");
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let Some(id) = field("id:") {
                let data = field("data:").map(|data| serde_json::from_str(data).unwrap());
                return Some(Message { id: id.to_owned(), data });
            }
        }
    }
}

/// The value of a field in each event.
pub fn fields<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    events.iter().map(|event| event[name].as_str().unwrap_or_default()).collect()
}
