//! A lab with a memory: it can go back, explain its last lines, and tell the whole run as a script.
//!
//! A run is its lines and nothing else, because the lab is deterministic. So to go back is to begin
//! anew and to do all lines again but the last; and a run is saved by writing its lines down.

use super::commands::{self, Does};
use super::lab::{Lab, Line};
use super::why;
use super::words::Words;

/// Takes the lines of a script one by one, or those that somebody types.
#[derive(Clone, Debug, Default)]
pub struct Debugger {
    /// The world as it is now.
    pub lab: Lab,
    /// Whether `quit` was said.
    pub is_over: bool,
    /// What was done and not undone.
    done: Vec<Done>,
    /// The last output in which a rule was at work or a property fell.
    last: Vec<Line>,
}

/// A line that was done.
#[derive(Clone, Debug)]
struct Done {
    line: String,
    /// Whether it changed the world, and did not only look at it.
    is_change: bool,
}

impl Debugger {
    /// Does what a line says and returns the lines that tell what happened. If it cannot be done,
    /// or what it expects is not so, nothing has happened.
    pub fn command(&mut self, line: &str) -> Result<Vec<String>, String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            self.done.push(Done { line: line.to_string(), is_change: false });
            return Ok(Vec::new());
        }
        let mut words = Words::of(line);
        let quietly = words.take("quietly");
        let verb = commands::find(words.need("command")?)?;
        match verb.does {
            Does::Desk if quietly => Err(format!("quietly: {} cannot be quiet", verb.name)),
            Does::Desk => {
                let named = |why: String| format!("{}: {why}", verb.name);
                let lines = self.at_the_desk(verb.name, &mut words).map_err(named)?;
                words.end().map_err(named)?;
                Ok(lines)
            }
            Does::Change(_) => self.in_the_lab(line, true),
            Does::Look(_) => self.in_the_lab(line, false),
        }
    }

    /// A command may fail when a part of it is done: then the lab is put back as it was.
    fn in_the_lab(&mut self, line: &str, is_change: bool) -> Result<Vec<String>, String> {
        let before = self.lab.clone();
        let lines = self.lab.tell(line).inspect_err(|_| self.lab = before)?;
        self.done.push(Done { line: line.to_string(), is_change });
        let texts = lines.iter().map(|line| line.text.clone()).collect();
        if lines.iter().any(|line| line.rule.is_some() || line.fell.is_some()) {
            self.last = lines;
        }
        Ok(texts)
    }

    fn at_the_desk(&mut self, name: &str, words: &mut Words) -> Result<Vec<String>, String> {
        match name {
            "back" => self.back(words),
            "why" => why::why(&self.last, words),
            "help" => match words.next() {
                None => Ok(commands::overview()),
                Some(word) => Ok(commands::find(word)?.explained()),
            },
            "quit" => {
                self.is_over = true;
                Ok(Vec::new())
            }
            _ => Err("only at the prompt".to_string()),
        }
    }

    fn back(&mut self, words: &mut Words) -> Result<Vec<String>, String> {
        let most = self.done.iter().filter(|done| done.is_change).count();
        if most == 0 {
            return Err("nothing has been done".to_string());
        }
        let count = match words.end() {
            Ok(()) => 1,
            Err(_) => words.number("count of commands", 1, most as u64)? as usize,
        };
        words.end()?;
        let mut undone = Vec::new();
        while undone.len() < count {
            undone.extend(self.done.pop().filter(|done| done.is_change));
        }
        let done = std::mem::take(self);
        if done.lab.world.recording.is_some() {
            self.lab.world.record();
        }
        for Done { line, .. } in &done.done {
            self.command(line).map_err(|why| format!("the run cannot be repeated: {why}"))?;
        }
        Ok(undone.into_iter().map(|done| format!("undone: {}", done.line)).collect())
    }

    /// The lines so far, less those that were undone: a script without its output.
    pub fn script(&self) -> String {
        let lines: Vec<&str> = self.done.iter().map(|done| done.line.as_str()).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::script;

    fn after(lines: &[&str]) -> Debugger {
        let mut debugger = Debugger::default();
        for line in lines {
            debugger.command(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        }
        debugger
    }

    #[test]
    fn back_undoes_the_last_changes_and_passes_over_looks() {
        let mut debugger = after(&["timeout n1", "show"]);
        let mut other = after(&["timeout n1", "deliver n1->n2", "show", "crash n1", "pending"]);
        let undone = ["undone: crash n1", "undone: deliver n1->n2"];
        assert_eq!(other.command("back 2").unwrap(), undone);
        assert_eq!(other.command("show"), debugger.command("show"));
        assert_eq!(other.command("deliver n1->n3"), debugger.command("deliver n1->n3"));
        assert_eq!(
            other.command("back 3").unwrap_err(),
            "back: 3 is no count of commands: write a number from 1 to 2"
        );
        assert_eq!(other.command("b 2").unwrap().len(), 2);
        assert_eq!(other.command("back").unwrap_err(), "back: nothing has been done");
    }

    #[test]
    fn back_goes_behind_a_cluster_and_what_fell_in_it() {
        let mut debugger =
            after(&["log n1 = 1 3", "log n2 = 2 3", "expect broken LogMatching", "cluster 5"]);
        debugger.command("back").unwrap();
        debugger.command("expect broken LogMatching").unwrap();
        debugger.command("back").unwrap();
        debugger.command("expect safe").unwrap();
    }

    #[test]
    fn command_that_fails_leaves_everything_as_it_was() {
        let mut debugger = after(&["timeout n1"]);
        let before = debugger.script();
        for line in ["timeout n2 n3", "deliver n1->n2 7", "expect leader n1", "fly", "quietly"] {
            assert!(debugger.command(line).is_err(), "{line}");
        }
        assert_eq!(debugger.command("pending").unwrap().len(), 2, "n2's timer did not fire");
        debugger.command("back").unwrap();
        assert_ne!(debugger.script(), before);
        debugger.command("timeout n1").unwrap();
        assert_eq!(debugger.script(), before);
    }

    #[test]
    fn script_is_the_run_without_what_was_undone_and_plays_again() {
        let lines = ["# A vote", "", "timeout n1", "crash n3", "back", "why", "t n2", "show"];
        let text = script::run("the run", &after(&lines).script()).unwrap();
        let commands: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(commands, ["# A vote", "", "timeout n1", "t n2", "show"]);
        assert_eq!(script::run("test", &text), Ok(text.clone()));
    }

    #[test]
    fn why_is_about_the_last_output_that_has_a_rule() {
        let mut debugger = after(&["timeout n1", "deliver n1->n2", "show"]);
        let lines = debugger.command("why").unwrap();
        assert_eq!(lines[0], "UpToDateLog (RequestVote 2, §5.4.1)");
        assert_eq!(debugger.command("why 2").unwrap(), lines);
        debugger.command("back").unwrap();
        let lines = debugger.command("why").unwrap();
        assert_eq!(lines[0], "ResetTimerSparingly (Followers 2, §5.2)", "its line is the last now");
    }
}
