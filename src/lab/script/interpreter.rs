//! Does what one line of a script says: finds its command in the table and calls its function.

use super::commands::{self, Does};
use super::lab::{Lab, Line};
use super::words::Words;

impl Lab {
    /// Does what a line says and returns the lines that tell what happened.
    pub fn command(&mut self, line: &str) -> Result<Vec<String>, String> {
        let told = self.tell(line)?;
        Ok(told.into_iter().map(|line| line.text).collect())
    }

    /// The same, with the rules that the lines follow from.
    pub fn tell(&mut self, line: &str) -> Result<Vec<Line>, String> {
        let mut words = Words::of(line);
        let quietly = words.take("quietly");
        let Some(verb) = words.next() else { return Ok(Vec::new()) };
        let verb = commands::find(verb)?;
        let power_fails = line.contains(" unsaved") || line.contains(" midway");
        let only_looks = ["show", "pending"].contains(&verb.name);
        if !only_looks && (verb.name != "crash" || !power_fails) {
            self.world.finish_disks();
        }
        let named = |why: String| format!("{}: {why}", verb.name);
        let shown = self.perform(verb.does, &mut words).map_err(named)?;
        words.end().map_err(named)?;
        let mut lines = self.take_lines(quietly);
        let shown = self.notes.drain(..).chain(shown);
        lines.extend(shown.map(|text| Line { text, rule: None, fell: None }));
        Ok(lines)
    }

    fn perform(&mut self, does: Does, words: &mut Words) -> Result<Vec<String>, String> {
        match does {
            Does::Change(change) => change(self, words).map(|()| Vec::new()),
            Does::Look(look) => look(self, words),
            Does::Desk => Err("this is for the run as a whole, not for one world".to_string()),
        }
    }
}
