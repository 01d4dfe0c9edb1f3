//! `client`: a menu, and a prompt for commands. In a pipe it is neither: it reads one command a
//! line, and prints the answers alone.

use std::io::{self, IsTerminal, Lines, StdinLock};

use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use super::{ask, faults, show};
use crate::client::Client;
use crate::state_machine::kv::Request;

const MENU: &str = "
  1  start an election       3  send a heartbeat
  2  propose a value         4  print the log           5  exit
Or type a command: set x 42, get x, delete x, incr n, cas x 42 43, status, elect 2, pause 2,
resume 2, cut 2, heal, health 2. Any other text is a value, proposed as it stands.
";

/// The verbs of the command line that may be typed here as well, beside the commands of the store.
const VERBS: [&str; 7] = ["status", "elect", "pause", "resume", "cut", "heal", "health"];

/// Does any verb of the command line. The table of verbs gives it, for the menu is in that table.
type Perform = fn(Options) -> Result<(), Failure>;

struct Menu<'a> {
    options: &'a Options,
    perform_verb: Perform,
    client: Client,
    input: Lines<StdinLock<'static>>,
    on_terminal: bool,
}

/// Reads commands until the end of the input, or `exit`. On a terminal errors are only shown; a
/// script is told by the exit code.
pub fn run(options: &Options, perform_verb: Perform) -> Result<(), Failure> {
    let input = io::stdin().lines();
    let on_terminal = io::stdin().is_terminal();
    let mut menu =
        Menu { options, perform_verb, client: ask::client(options)?, input, on_terminal };
    menu.tell(MENU)?;
    let (mut done, mut failed) = (0, 0);
    while let Some(line) = menu.read("raftlet> ")? {
        match line.trim() {
            "5" | "exit" | "quit" => break,
            "" => continue,
            line => match menu.perform(line) {
                Ok(()) => done += 1,
                Err(failure) => {
                    eprintln!("raftlet: {failure}");
                    failed += 1;
                }
            },
        }
    }
    match failed {
        0 => Ok(()),
        _ if on_terminal => Ok(()),
        _ => Err(Failure::Running(format!("{failed} of {} commands failed", done + failed))),
    }
}

impl Menu<'_> {
    fn perform(&mut self, line: &str) -> Result<(), Failure> {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match first {
            "1" => self.start_election(rest),
            "2" if rest.is_empty() => match self.read("value: ")? {
                Some(value) => self.command(value.trim()),
                None => Err(Failure::Usage("the value is missing".to_string())),
            },
            "2" => self.command(rest),
            "3" => faults::heartbeat(self.options),
            "4" => self.print_log(rest),
            "help" | "menu" => print(MENU),
            verb if VERBS.contains(&verb) => self.verb(line),
            _ => self.command(line),
        }
    }

    /// Which node it is, only a person is asked: in a script the next line is the next command.
    fn start_election(&mut self, node: &str) -> Result<(), Failure> {
        let asked = match node.is_empty() && self.on_terminal {
            true => self.read("which node? (just Enter: any that does not lead) ")?,
            false => None,
        };
        let node = asked.as_deref().unwrap_or(node).trim();
        self.verb(&format!("elect {node}"))
    }

    /// The log of one node; without a number, of the leader, or else of any that answers.
    fn print_log(&mut self, node: &str) -> Result<(), Failure> {
        let options = self.with_words(node);
        let seen = show::look(self.options)?;
        let id = match options.node(0)? {
            Some(id) => Some(id),
            None => show::leader(&seen)
                .or(seen.iter().find(|seen| seen.status.is_some()).map(|seen| seen.id)),
        };
        let seen = seen.into_iter().find(|seen| Some(seen.id) == id);
        let Some(show::Seen { id, address, .. }) = seen else {
            return Err(Failure::Running("there is no such node, or none answers".to_string()));
        };
        let entries = show::entries_of(self.options, &address)
            .map_err(|why| Failure::Running(format!("{id}: {why}")))?;
        print(&format!("log of {id}\n{}", show::table_of_entries(&entries)))
    }

    fn verb(&self, line: &str) -> Result<(), Failure> {
        (self.perform_verb)(self.with_words(line))
    }

    fn with_words(&self, line: &str) -> Options {
        let words = line.split_whitespace().map(String::from).collect();
        Options { words, given: Vec::new(), ..self.options.clone() }
    }

    /// Has a command of the store done, or any other text proposed as it stands.
    fn command(&mut self, text: &str) -> Result<(), Failure> {
        let request: Request = text.parse().map_err(Failure::Usage)?;
        if let Request::Get { key } = request {
            return match self.client.get(&key)? {
                Some(value) => print(&format!("{value}\n")),
                None => Err(Failure::Running(format!("{key} is not set"))),
            };
        }
        let done = self.client.command(&request.to_string())?;
        let (result, term) = (done.result.unwrap_or_default(), done.term.unwrap_or_default());
        match result.strip_prefix("error: ") {
            Some(why) => Err(Failure::Running(why.to_string())),
            None if result.starts_with("not swapped: ") => Err(Failure::Running(result)),
            None => print(&format!("{result} (entry {}@{term})\n", done.index)),
        }
    }

    /// What only a person wants to see.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.on_terminal { print(text) } else { Ok(()) }
    }

    fn read(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        self.tell(prompt)?;
        let line = self.input.next().transpose();
        line.map_err(|error| Failure::Running(format!("cannot read stdin: {error}")))
    }
}
