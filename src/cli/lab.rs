//! `lab`: Raft one step at a time, in a simulated world. A prompt for the script language; from a
//! file or a pipe the script with its output, nothing more.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use crate::lab::script::{self, Debugger, Script};
use crate::lab::trace;

const GREETING: &str = "\
Three servers, n1 to n3; nothing has happened yet. Try: timeout n1, then run, then why.
help lists the commands, help run explains one, quit ends.
";

const BOLD_RED: &str = "\x1b[1;31m";
const RESET: &str = "\x1b[0m";

/// Runs a script, or asks for one line after the other.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options.word(0) {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| Failure::Running(format!("cannot read {path}: {error}")))?;
            run_script(path, text.lines().map(|line| Ok(line.to_string())), &options.leave)
        }
        None if io::stdin().is_terminal() => prompt(&options.leave),
        None => run_script("stdin", io::stdin().lock().lines(), &options.leave),
    }
}

/// Each line is run when it comes, so that another program can talk with the lab through pipes.
fn run_script(
    name: &str,
    lines: impl Iterator<Item = io::Result<String>>,
    leave: &trace::Options,
) -> Result<(), Failure> {
    let mut script = Script::new(name);
    if leave.any() {
        script.record();
    }
    let mut outcome = Ok(());
    for line in lines {
        let line = line.map_err(cannot_read)?;
        match script.line(&line) {
            Ok(_) if leave.take_stdout() => {}
            Ok(text) => print(&text)?,
            Err(why) => {
                outcome = Err(Failure::Running(why));
                break;
            }
        }
    }
    // Also of a run that did not come to its end.
    trace::write(leave, &script.lab().recordings()).map_err(Failure::Running)?;
    outcome
}

fn prompt(leave: &trace::Options) -> Result<(), Failure> {
    let mut debugger = Debugger::default();
    if leave.any() {
        debugger.lab.world.record();
    }
    talk(&mut debugger)?;
    trace::write(leave, &debugger.lab.recordings()).map_err(Failure::Running)
}

fn talk(debugger: &mut Debugger) -> Result<(), Failure> {
    print(GREETING)?;
    let mut lines = io::stdin().lines();
    while !debugger.is_over {
        print("lab> ")?;
        let Some(line) = lines.next().transpose().map_err(cannot_read)? else {
            return print("\n");
        };
        // Of a run that was printed and is pasted, only the commands are meant.
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        match answer(debugger, line.trim_end()) {
            Ok(lines) => lines.iter().try_for_each(|line| print(&shown(line)))?,
            Err(why) => eprintln!("{why}"),
        }
    }
    Ok(())
}

fn answer(debugger: &mut Debugger, line: &str) -> Result<Vec<String>, String> {
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match verb {
        "save" | "sa" => save(debugger, rest.trim(), false),
        "save!" => save(debugger, rest.trim(), true),
        _ => debugger.command(line),
    }
}

/// Writes the run to a file, which must not exist unless it is to be replaced.
fn save(debugger: &Debugger, path: &str, replace: bool) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Err("save: FILE is missing".to_string());
    }
    let text = script::run("the run", &debugger.script())?;
    let mut options = OpenOptions::new();
    match replace {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(vec![format!("saved: raftlet lab {path} plays it again")]),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(format!("save: {path} exists; save! {path} replaces it"))
        }
        Err(error) => Err(format!("save: cannot write {path}: {error}")),
    }
}

/// A line of output; what falls stands out.
fn shown(line: &str) -> String {
    let colour =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match line.starts_with("***") && colour {
        true => format!("    {BOLD_RED}{line}{RESET}\n"),
        false => format!("    {line}\n"),
    }
}

fn cannot_read(error: io::Error) -> Failure {
    Failure::Running(format!("cannot read stdin: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_writes_a_script_and_replaces_none_unasked() {
        let name = format!("raftlet-lab-save-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_str().expect("a path of plain letters");
        // Left behind by a killed process of the same number.
        let _ = fs::remove_file(path);
        let mut debugger = Debugger::default();
        let mut answer = |line: &str| answer(&mut debugger, line);
        assert_eq!(answer("save"), Err("save: FILE is missing".to_string()));
        answer("timeout n1").unwrap();
        answer(&format!("save {path}")).unwrap();
        let first = fs::read_to_string(path).unwrap();
        assert!(first.starts_with("timeout n1\n    n1  term 1  FOLLOWER"), "{first}");
        answer("crash n2").unwrap();
        let refused = format!("save: {path} exists; save! {path} replaces it");
        assert_eq!(answer(&format!("sa {path}")), Err(refused));
        assert_eq!(fs::read_to_string(path).unwrap(), first);
        answer(&format!("save! {path}")).unwrap();
        let second = fs::read_to_string(path).unwrap();
        assert_eq!(second, format!("{first}crash n2\n    n2 crashes\n"));
        assert_eq!(crate::lab::script::run(path, &second), Ok(second.clone()));
        fs::remove_file(path).unwrap();
    }
}
