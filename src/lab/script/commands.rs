//! The table of commands: what each is called, in full and in short, what `help` says of it, and
//! the function that does it.

use super::expect;
use super::lab::Lab;
use super::show::show;
use super::words::Words;
use crate::config::nearest::did_you_mean;
use crate::lab::world::World;
use crate::node::rules::Rule;

/// A command.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// What may be typed instead, or nothing.
    pub short: &'static str,
    /// The words behind it. What may be left out stands in brackets.
    pub words: &'static str,
    /// What it does, in one short line.
    pub summary: &'static str,
    /// What else there is to know, in lines.
    pub help: &'static str,
    /// Does it.
    pub does: Does,
}

/// Who does a command.
#[derive(Clone, Copy)]
pub enum Does {
    /// It changes the world: `back` undoes it.
    Change(fn(&mut Lab, &mut Words) -> Result<(), String>),
    /// It looks at the world.
    Look(fn(&Lab, &mut Words) -> Result<Vec<String>, String>),
    /// It is for the run as a whole: see `debugger.rs`.
    Desk,
}

/// A part of the table, under its title in `help`.
pub struct Group {
    title: &'static str,
    verbs: &'static [Verb],
}

use Does::*;

const GROUPS: [Group; 6] = [
    Group { title: "How it begins", verbs: SETUP },
    Group { title: "What happens", verbs: TRAFFIC },
    Group { title: "Accidents", verbs: ACCIDENTS },
    Group { title: "Clients", verbs: CLIENTS },
    Group { title: "Look", verbs: LOOKS },
    Group { title: "The run", verbs: DESK },
];

const fn verb(
    (name, short): (&'static str, &'static str),
    words: &'static str,
    summary: &'static str,
    help: &'static str,
    does: Does,
) -> Verb {
    Verb { name, short, words, summary, help, does }
}

const SETUP: &[Verb] = &[
    verb(
        ("cluster", "cl"),
        "N",
        "servers n1 to nN, all fresh, up to 9; at first there are three",
        "Rules that were left out stay so, and so do `batch` and `chunk`.",
        Change(Lab::cluster),
    ),
    verb(
        ("without", "wo"),
        "RULE",
        "all servers leave out this rule; before anything happens",
        "It holds for later clusters as well. The rules:",
        Change(Lab::without),
    ),
    verb(
        ("batch", "ba"),
        "N",
        "most entries in one message (at first 64); before anything happens",
        "",
        Change(Lab::batch),
    ),
    verb(
        ("chunk", "ck"),
        "N",
        "most bytes of a snapshot in one message; before anything happens",
        "At first 65536, and never less than 4.",
        Change(Lab::chunk),
    ),
    verb(
        ("disks", "di"),
        "slow | fast",
        "slow: they finish when they must, for a message, or by `sync`",
        "A disk at work finishes before its server sends a message that stands behind the save,\n\
         and before it takes a step while its vote is not saved.",
        Change(Lab::disks),
    ),
    verb(
        ("log", "l"),
        "n1 = 1 1 4",
        "n1 has a log with these terms, as if history had made it so",
        "Its term is at least the last of them. The entry 2@1 is always `set x=2@1`.",
        Change(Lab::lay_log),
    ),
    verb(
        ("term", "te"),
        "n1 = 8",
        "n1 has seen this term, and has not voted in it",
        "",
        Change(Lab::lay_term),
    ),
];

const TRAFFIC: &[Verb] = &[
    verb(
        ("timeout", "t"),
        "n1",
        "n1's timer fires now: an election, or a leader's heartbeat",
        "Only its own clock moves.",
        Change(Lab::timeout),
    ),
    verb(
        ("tick", "ti"),
        "MS",
        "so many ms pass; timers fire, no message arrives",
        "",
        Change(|lab, words| lab.pass_time(words, false)),
    ),
    verb(
        ("run", "r"),
        "[MS]",
        "all messages arrive in order, until it is quiet; or so many ms pass",
        "Without a time no time passes: messages and the answers to them arrive in the order of\n\
         sending, delayed ones last. With a time, timers fire, and a message takes 10 ms.",
        Change(Lab::run),
    ),
    verb(
        ("deliver", "d"),
        "WHICH",
        "messages arrive",
        "3          message 3: `pending` shows the numbers\n\
         n1->n2     the first on the link; `n1->n2 4`: the first 4, or `all`\n\
         n1         the first on its way to n1; a count or `all` may follow\n\
         all        all that are in flight now, but not the answers to them",
        Change(|lab, words| lab.each_message(words, World::deliver)),
    ),
    verb(
        ("drop", "dr"),
        "WHICH",
        "messages are lost: the words of `deliver`",
        "",
        Change(|lab, words| lab.each_message(words, World::drop_message)),
    ),
    verb(
        ("duplicate", "du"),
        "WHICH",
        "messages are in flight once more: the words of `deliver`",
        "",
        Change(|lab, words| lab.each_message(words, World::duplicate)),
    ),
    verb(
        ("snapshot", "sn"),
        "n1",
        "n1 takes a snapshot of what it has applied, and forgets those entries",
        "A follower that needs forgotten entries gets the snapshot, with the next heartbeat.",
        Change(Lab::snapshot),
    ),
    verb(
        ("delay", "de"),
        "WHICH [MS]",
        "a message or a link is slow: others overtake (100 ms unless you say)",
        "3          message 3 arrives so much later, behind all that is sent in the meantime\n\
         n1->n2     whatever is on this link, and is sent on it later, takes so much longer;\n\
         \x20          until `heal`",
        Change(Lab::delay),
    ),
];

const ACCIDENTS: &[Verb] = &[
    verb(
        ("cut", "cu"),
        "n1->n2 | n1",
        "nothing gets from n1 to n2; with n1 alone: to n1 or from it",
        "What is on its way is lost as well.",
        Change(Lab::cut),
    ),
    verb(
        ("partition", "pa"),
        "n1 n2 | n3",
        "only links within a group are whole; those not named are a group",
        "It takes the place of whatever was cut or slow before.",
        Change(Lab::partition),
    ),
    verb(("heal", "h"), "", "all links are whole and fast", "", Change(Lab::heal)),
    verb(
        ("crash", "cr"),
        "n1 [HOW]",
        "n1 goes down; HOW: unsaved, before its disk has finished; or midway N",
        "Its disk finishes what it was given, unless it is a power failure: `crash n1 unsaved`.\n\
         midway: in the midst of the disk's work; N, up to 999, picks when, and what is left.\n\
         A disk has finished when its server takes the next step, or the next command comes.",
        Change(Lab::crash),
    ),
    verb(
        ("sync", "sy"),
        "n1",
        "n1's disk finishes what it was given, if disks are slow",
        "",
        Change(Lab::sync),
    ),
    verb(
        ("restart", "re"),
        "n1",
        "n1 comes up again, with what its disk holds",
        "",
        Change(Lab::restart),
    ),
];

const CLIENTS: &[Verb] = &[
    verb(
        ("propose", "pr"),
        "n1 COMMAND",
        "a client asks n1 to write: set x=1, delete x, incr x, cas x 1 2",
        "`propose n1 @alice:1 set x=1`: the first command of alice's session. The same again is a\n\
         retry.",
        Change(Lab::propose),
    ),
    verb(
        ("read", "rd"),
        "n1 KEY",
        "a client asks n1 for a value, which is not to go through the log",
        "",
        Change(Lab::read),
    ),
];

const LOOKS: &[Verb] = &[
    verb(
        ("show", "s"),
        "",
        "role, term, vote and log of all; ║ stands behind what is committed",
        "A log is drawn as the paper's boxes, with the terms of its entries in them.",
        Look(|lab, _| Ok(show(&lab.world))),
    ),
    verb(("pending", "p"), "", "the messages in flight", "", Look(|lab, _| Ok(lab.pending()))),
    verb(
        ("expect", "e"),
        "[not] WHAT",
        "this must be so: a script that expects in vain ends with an error",
        expect::HELP,
        Look(|lab, words| lab.expect(words).map(|()| Vec::new())),
    ),
    verb(
        ("why", "w"),
        "[LINE | RULE]",
        "the rules behind the last lines, or behind one of them",
        "why                  all rules behind the last output that follows from any\n\
         why 2                the rule behind its second line\n\
         why UpToDateLog      this rule; also as the lines cite it: `why RequestVote 2`\n\
         why LogMatching      this property",
        Desk,
    ),
];

const DESK: &[Verb] = &[
    verb(
        ("quietly", ""),
        "COMMAND",
        "any command, without its output, but for a property that falls",
        "",
        Desk,
    ),
    verb(
        ("back", "b"),
        "[N]",
        "undoes the last command that changed the world, or the last N",
        "",
        Desk,
    ),
    verb(
        ("save", "sa"),
        "FILE",
        "writes the run so far, less what was undone, as a script",
        "Only at the prompt. A file that exists is left alone: `save! FILE` replaces it.\n\
         `raftlet lab FILE` plays the script again.",
        Desk,
    ),
    verb(("help", "?"), "[COMMAND]", "this, or more about one command", "", Desk),
    verb(("quit", "q"), "", "the end; what follows in a script is left out", "", Desk),
];

fn all() -> impl Iterator<Item = &'static Verb> {
    GROUPS.iter().flat_map(|group| group.verbs)
}

/// The command of this name, in full or in short.
pub fn find(word: &str) -> Result<&'static Verb, String> {
    let is_meant = |verb: &&Verb| verb.name == word || !word.is_empty() && verb.short == word;
    all().find(is_meant).ok_or_else(|| {
        let names: Vec<&str> = all().map(|verb| verb.name).collect();
        let hint = match did_you_mean(word, &names) {
            hint if hint.is_empty() => "; help lists them".to_string(),
            hint => hint,
        };
        format!("{word}: there is no such command{hint}")
    })
}

/// `help`: all commands.
pub fn overview() -> Vec<String> {
    let width = all().map(|verb| verb.usage().chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for group in &GROUPS {
        lines.push(group.title.to_string());
        let line = |verb: &Verb| {
            let Verb { short, summary, .. } = verb;
            format!("  {:width$}  {short:2}  {summary}", verb.usage())
        };
        lines.extend(group.verbs.iter().map(line));
    }
    lines
}

impl Verb {
    /// `crash n1 [unsaved]`.
    fn usage(&self) -> String {
        format!("{} {}", self.name, self.words).trim_end().to_string()
    }

    /// `help crash`.
    pub fn explained(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.usage(), self.summary)];
        if !self.short.is_empty() {
            lines.push(format!("In short: {}", self.short));
        }
        lines.extend(self.help.lines().map(String::from));
        if self.name == "without" {
            lines.extend(Rule::all().map(|rule| format!("{:26}({rule})", rule.name())));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_knows_each_command_in_full_and_in_short() {
        for verb in all() {
            assert_eq!(find(verb.name).map(|found| found.name), Ok(verb.name));
            if !verb.short.is_empty() {
                assert_eq!(find(verb.short).map(|found| found.name), Ok(verb.name));
            }
        }
        assert!(find("").is_err());
    }

    #[test]
    fn find_offers_the_nearest_names() {
        let error = |word| find(word).map(|verb| verb.name).unwrap_err();
        assert_eq!(error("delivr"), "delivr: there is no such command; did you mean deliver?");
        assert_eq!(error("Timeout"), "Timeout: there is no such command; did you mean timeout?");
        assert_eq!(error("fly"), "fly: there is no such command; help lists them");
    }

    #[test]
    fn overview_has_every_command_on_a_line_that_fits_a_terminal() {
        let lines = overview();
        assert_eq!(lines.len(), GROUPS.len() + all().count());
        for line in lines {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn explained_names_the_short_form_and_for_without_the_rules() {
        let lines = find("h").expect("heal").explained();
        assert_eq!(lines, ["heal: all links are whole and fast", "In short: h"]);
        let lines = find("without").expect("without").explained();
        assert!(
            lines.contains(&"SaveVote                  (State, §5.2)".to_string()),
            "{lines:?}"
        );
        assert!(lines.len() > Rule::COUNT);
    }
}
