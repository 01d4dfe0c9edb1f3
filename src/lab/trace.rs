//! What a run leaves behind, for other tools and other eyes.
//!
//! A [`Recording`] is every step of a run with the state after it. From it come, as pure functions
//! from a recording to a text: a sequence diagram for Mermaid, a space-time diagram as SVG, a log
//! with vector clocks for ShiViz, and JSON lines for everything else. The last can be read back:
//! [`check`] judges such lines, from here or from real nodes.

pub mod check;
pub mod jsonl;
pub mod mermaid;
mod note;
pub mod recording;
pub mod shiviz;
pub mod svg;
mod ways;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use recording::Recording;

/// What is to be written, and where: `-` is stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the file of the format it is named after")]
pub struct Options {
    pub mermaid: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    pub shiviz: Option<PathBuf>,
    pub jsonl: Option<PathBuf>,
}

impl Options {
    /// Whether anything is to be written, and so a run to be recorded.
    pub fn any(&self) -> bool {
        *self != Options::default()
    }

    /// Whether stdout is taken: nothing else may be written to it.
    pub fn take_stdout(&self) -> bool {
        let Options { mermaid, svg, shiviz, jsonl } = self;
        [mermaid, svg, shiviz, jsonl].into_iter().flatten().any(|path| path == Path::new("-"))
    }
}

/// Writes runs in every form that is asked for. If there are several, each gets a file of its own:
/// `run-1.svg`, `run-2.svg`.
///
/// # Errors
/// One line that names the file.
pub fn write(options: &Options, recordings: &[&Recording]) -> Result<(), String> {
    type Form = fn(&Recording) -> String;
    let Options { mermaid, svg, shiviz, jsonl } = options;
    let forms: [(&Option<PathBuf>, Form); 4] =
        [(mermaid, mermaid::text), (svg, svg::text), (shiviz, shiviz::text), (jsonl, jsonl::text)];
    if options.take_stdout() && recordings.len() > 1 {
        let count = recordings.len();
        return Err(format!("the run has {count} clusters, and - takes one: name a file"));
    }
    for (path, form) in forms {
        let Some(path) = path else { continue };
        for (before, recording) in recordings.iter().enumerate() {
            let number = (recordings.len() > 1).then_some(before + 1);
            let path = numbered(path, number);
            write_file(&path, &form(recording))?;
            if path != Path::new("-") {
                eprintln!("raftlet: {} is written", path.display());
            }
        }
    }
    Ok(())
}

/// `run-2.svg` for `run.svg`.
fn numbered(path: &Path, number: Option<usize>) -> PathBuf {
    let Some(number) = number else { return path.to_path_buf() };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    let ending = extension.map_or(String::new(), |extension| format!(".{extension}"));
    path.with_file_name(format!("{stem}-{number}{ending}"))
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    let written = match path == Path::new("-") {
        true => io::stdout().lock().write_all(text.as_bytes()),
        false => fs::write(path, text),
    };
    match written {
        // A reader who has seen enough (`| head`) is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_keeps_the_ending() {
        for (path, expected) in [("a/run.svg", "a/run-2.svg"), ("run", "run-2")] {
            assert_eq!(numbered(Path::new(path), Some(2)), Path::new(expected));
            assert_eq!(numbered(Path::new(path), None), Path::new(path));
        }
    }
}
