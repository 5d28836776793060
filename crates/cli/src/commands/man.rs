//! `trailseal man`: manual pages, made from the help of the commands.

use std::path::Path;

use clap::CommandFactory as _;

use super::text::write_out;
use crate::arguments::{Arguments, Man};
use crate::failure::{Failure, Outcome};

pub(super) fn run(man: &Man) -> Outcome {
    let mut program = Arguments::command();
    // The flags of every command go to each page.
    program.build();
    match &man.out {
        Some(folder) => write_pages(program, folder),
        None => write_out(None, &page_of(program, &man.command)?),
    }
}

fn write_pages(program: clap::Command, folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    clap_mangen::generate_to(program, folder).map_err(Failure::io("write to", folder))
}

/// The page of the command that these words name.
fn page_of(mut program: clap::Command, words: &[String]) -> Outcome<Vec<u8>> {
    for word in words {
        let Some(found) = program.find_subcommand(word) else {
            return Err(Failure::could_not(format!(
                "there is no command `{}`: see `trailseal --help`",
                words.join(" ")
            )));
        };
        program = found.clone();
    }
    let name =
        ["trailseal"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
    let mut page = Vec::new();
    let source = concat!("trailseal ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(program.display_name(name)).source(source).render(&mut page)?;
    Ok(page)
}
