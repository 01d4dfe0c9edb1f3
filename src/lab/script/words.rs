//! The words of a script's line, one by one: servers, links, entries, rules.

use crate::config::nearest::did_you_mean;
use crate::lab::network::Slot;
use crate::lab::world::World;
use crate::node::message::{EntryId, Message, NodeId, Term};
use crate::node::rules::{Property, Rule};

/// What is still to be read of a line.
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// All words of a line.
    pub fn of(line: &'a str) -> Words<'a> {
        Words { rest: line.trim() }
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Some(word)
    }

    /// Takes this word if it is the next.
    pub fn take(&mut self, word: &str) -> bool {
        let mut after = Words { rest: self.rest };
        let taken = after.next() == Some(word);
        if taken {
            self.rest = after.rest;
        }
        taken
    }

    /// The next word, which must be there.
    pub fn need(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// All that is left.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Takes all that is left, which must be something.
    pub fn text(&mut self, what: &str) -> Result<&'a str, String> {
        match std::mem::take(&mut self.rest) {
            "" => Err(format!("{what} is missing")),
            text => Ok(text),
        }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), String> {
        match self.rest {
            "" => Ok(()),
            extra => Err(format!("{extra} is too much")),
        }
    }

    /// A whole number between these.
    pub fn number(&mut self, what: &str, least: u64, greatest: u64) -> Result<u64, String> {
        let word = self.need(what)?;
        let number = word.parse().ok().filter(|number| (least..=greatest).contains(number));
        number.ok_or_else(|| {
            format!("{word} is no {what}: write a number from {least} to {greatest}")
        })
    }

    /// A server of the cluster: `n2`.
    pub fn server(&mut self, world: &World) -> Result<NodeId, String> {
        server(self.need("server")?, world)
    }

    /// Terms of a log up to the end: `1 1 2`.
    pub fn terms(&mut self) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        while let Some(word) = self.next() {
            match word.parse() {
                Ok(term @ 1..=MAX_TERM) if terms.last().is_none_or(|&last| last <= term) => {
                    terms.push(term);
                }
                Ok(1..=MAX_TERM) => return Err(format!("term {word} stands behind a later one")),
                _ => return Err(format!("{word} is no term: write a number from 1 on")),
            }
        }
        Ok(terms)
    }

    /// An entry: `2@4`.
    pub fn entry(&mut self) -> Result<EntryId, String> {
        let word = self.need("entry")?;
        let parse = || {
            let (index, term) = word.split_once('@')?;
            Some(EntryId { index: index.parse().ok()?, term: term.parse().ok()? })
        };
        parse().ok_or_else(|| format!("{word} is no entry: write index@term, as 2@4"))
    }

    /// A rule: `UpToDateLog`.
    pub fn rule(&mut self) -> Result<Rule, String> {
        let word = self.need("rule")?;
        Rule::named(word).ok_or_else(|| {
            let names: Vec<String> = Rule::all().map(Rule::name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let hint = match did_you_mean(word, &names) {
                hint if hint.is_empty() => "; `help without` lists them".to_string(),
                hint => hint,
            };
            format!("there is no rule {word}{hint}")
        })
    }

    /// A property: `LeaderCompleteness`.
    pub fn property(&mut self) -> Result<Property, String> {
        let word = self.need("property")?;
        Property::named(word).ok_or_else(|| {
            let names = Property::ALL.map(Property::name);
            let hint = did_you_mean(word, &names.each_ref().map(String::as_str));
            format!("there is no property {word}: they are {}{hint}", names.join(", "))
        })
    }

    /// Messages in flight: `3` (its number), `n1->n2` (the first on the link), `n1` (the first to
    /// this server), the latter two with how many or `all`; or `all` there are.
    pub fn messages(&mut self, world: &World) -> Result<Vec<Slot>, String> {
        let word = self.need("message")?;
        let in_flight = world.network.in_flight();
        let chosen = |wanted: &dyn Fn(Slot, &Message) -> bool| -> Vec<Slot> {
            let wanted = in_flight.iter().filter(|(slot, message)| wanted(*slot, message));
            wanted.map(|(slot, _)| *slot).collect()
        };
        let mut slots = if word == "all" {
            return Ok(chosen(&|_, _| true));
        } else if let Ok(number) = word.parse::<u64>() {
            chosen(&|(_, own), _| own == number)
        } else if word.contains("->") {
            let (from, to) = link(word, world)?;
            chosen(&|_, message| message.from == from && message.to == to)
        } else {
            let to = server(word, world)?;
            chosen(&|_, message| message.to == to)
        };
        let count = match self.take("all") {
            false if self.rest.is_empty() => 1,
            false => self.number("count of messages", 1, 1000)? as usize,
            true => slots.len(),
        };
        if slots.is_empty() || slots.len() < count {
            return Err(format!("{} in flight for {word}", count_of_messages(slots.len())));
        }
        slots.truncate(count);
        Ok(slots)
    }
}

/// The greatest term that a script may write: elections count on from there.
pub const MAX_TERM: Term = 1_000_000_000;

fn count_of_messages(count: usize) -> String {
    match count {
        0 => "no message is".to_string(),
        1 => "only 1 message is".to_string(),
        _ => format!("only {count} messages are"),
    }
}

/// A server of the cluster: `n2`.
pub fn server(word: &str, world: &World) -> Result<NodeId, String> {
    let id = word.strip_prefix('n').and_then(|number| number.parse().ok()).map(NodeId);
    let known = id.filter(|&id| world.server(id).is_some());
    let last = world.ids().count();
    known.ok_or_else(|| format!("there is no server {word}: they are n1 to n{last}"))
}

/// A link in one direction: `n1->n2`.
pub fn link(word: &str, world: &World) -> Result<(NodeId, NodeId), String> {
    let Some((from, to)) = word.split_once("->") else {
        return Err(format!("{word} is no link: write n1->n2"));
    };
    Ok((server(from, world)?, server(to, world)?))
}
