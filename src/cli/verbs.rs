//! The table of verbs: what each is called, the words and options that go with it, what `--help`
//! says of it, and the function that does it.

use super::failure::Failure;
use super::options::Options;
use super::{
    ablate, ask, check, demo, experiment, faults, lab, links, menu, node, quiz, replay, rules,
    show, simulate, start,
};
use crate::server::NodeOptions;

/// A verb of the command line.
pub struct Verb {
    /// What to type; nothing for the two that start nodes.
    pub name: &'static str,
    /// The words behind it, as in `K V` or `[A [B]]`. What may be left out stands in brackets;
    /// behind three dots there may be more.
    pub words: &'static str,
    /// What it does, in one short line.
    pub summary: &'static str,
    /// What else there is to know, in lines.
    pub help: &'static str,
    /// The options that go with it, `--help` and `--version` apart.
    pub options: &'static [&'static str],
    /// A command line to try.
    pub example: &'static str,
    /// What does it. The words were counted before.
    pub run: Run,
}

/// What does a verb.
pub enum Run {
    /// This function.
    Verb(fn(&Options) -> Result<(), Failure>),
    /// `main.rs`, which runs the node that this function names, if it names one.
    Node(fn(&Options) -> Result<Option<NodeOptions>, Failure>),
}

/// A part of the table, under its title in `raftlet --help`.
pub struct Group {
    /// Its title.
    pub title: &'static str,
    /// Its verbs.
    pub verbs: &'static [Verb],
}

const START: &[&str] =
    &["--config", "--of", "--data", "--fast", "--transport", "--fresh", "--verbose"];
const START_ONE: &[&str] =
    &["--config", "--of", "--data", "--fast", "--transport", "--fresh", "--verbose", "--trace"];
const START_OF: &[&str] = &["--data", "--fast", "--transport", "--fresh", "--verbose"];
const ASK: &[&str] = &["--config", "--of", "--timeout", "--json"];
const ASK_LOCAL: &[&str] = &["--local", "--config", "--of", "--timeout", "--json"];

/// What a run in the lab can leave behind.
const LEAVE: &[&str] = &["--mermaid", "--svg", "--shiviz", "--jsonl"];

/// All verbs.
pub const GROUPS: [Group; 6] = [
    Group { title: "Start", verbs: STARTING },
    Group { title: "Write and read", verbs: ASKING },
    Group { title: "Look", verbs: LOOKING },
    Group { title: "Break and mend", verbs: BREAKING },
    Group { title: "More", verbs: MORE },
    Group { title: "The lab: a simulated cluster", verbs: LAB },
];

const STARTING: &[Verb] = &[
    Verb {
        name: "",
        words: "",
        summary: "start every node of cluster.toml in this terminal",
        help: "Each node is a process of its own; Ctrl+C ends them all. In a browser the address\n\
               of any, such as http://localhost:5001/, shows the cluster; there one cuts links,\n\
               kills nodes, and starts them again. Where NODE_ID is set, as in containers, it\n\
               starts the one node of the environment instead.",
        options: START,
        example: "raftlet --fast",
        run: Run::Node(start::alone),
    },
    Verb {
        name: "",
        words: "N",
        summary: "start node N; begin with 1, 2 and 3 in three terminals",
        help: "It prints what happens and why, and runs until Ctrl+C. Start it again and it goes\n\
               on with the term, vote and log that it has saved. With --fresh it forgets them,\n\
               and may break a promise that it gave: so never two nodes at once. With --trace it\n\
               writes every step as a line of JSON, which raftlet check judges. Its address is\n\
               also that of the dashboard: open http://localhost:5001/ in a browser.",
        options: START_ONE,
        example: "raftlet 2 --of 5",
        run: Run::Node(start::one),
    },
    Verb {
        name: "up",
        words: "M",
        summary: "start M nodes in this terminal, without a file",
        help: "The nodes are localhost:5001 to 5000+M, their data lies in data/of-M. The other\n\
               verbs find them with --of M. Ctrl+C ends them all. The dashboard is at\n\
               http://localhost:5001/, and at every other node.",
        options: START_OF,
        example: "raftlet up 5",
        run: Run::Verb(start::up),
    },
    Verb {
        name: "demo",
        words: "",
        summary: "watch a leader die and the cluster go on; needs no preparation",
        help: "It starts three nodes of its own, on free ports and in a temporary directory; it\n\
               writes, kills the leader, writes again, starts it again and compares the logs. It\n\
               leaves nothing behind.",
        options: &["--brief"],
        example: "raftlet demo",
        run: Run::Verb(demo::run),
    },
];

const ASKING: &[Verb] = &[
    Verb {
        name: "set",
        words: "K V",
        summary: "set key K to the value V",
        help: "It finds the leader, and is done when a majority has it. If an answer is lost it\n\
               is sent again, and still done once. A V of - stands for the text on stdin, without\n\
               the newline at its end.",
        options: ASK,
        example: "raftlet set x 42",
        run: Run::Verb(ask::set),
    },
    Verb {
        name: "get",
        words: "K",
        summary: "read the latest value of key K",
        help: "The leader first makes sure that it still leads, so the value is never old (§8).\n\
               With --local any node answers, at once, with what it has applied: perhaps an old\n\
               value. If the key is not set, the exit code is 1.",
        options: ASK_LOCAL,
        example: "raftlet get x --local",
        run: Run::Verb(ask::get),
    },
    Verb {
        name: "delete",
        words: "K",
        summary: "delete key K",
        help: "It says whether the key was there; that it was not is no failure.",
        options: ASK,
        example: "raftlet delete x",
        run: Run::Verb(ask::delete),
    },
    Verb {
        name: "cas",
        words: "K OLD NEW",
        summary: "set key K to NEW if it is OLD",
        help: "Of several clients that try at once, one succeeds. If K is not OLD, it stays as it\n\
               is, and the exit code is 1. OLD or NEW may be - for the text on stdin.",
        options: ASK,
        example: "raftlet cas x 42 43",
        run: Run::Verb(ask::compare_and_set),
    },
    Verb {
        name: "incr",
        words: "K [BY]",
        summary: "add 1, or BY, to the number at key K",
        help: "It prints the sum. A key that is not set counts from 0; BY may be negative.",
        options: ASK,
        example: "raftlet incr visits 5",
        run: Run::Verb(ask::increment),
    },
];

const LOOKING: &[Verb] = &[
    Verb {
        name: "status",
        words: "",
        summary: "all nodes in a table: role, term, leader, log",
        help: "Each node tells what it knows, for up to 2 s; they need not agree. With --json all\n\
               that a node tells of itself, a line each.",
        options: ASK,
        example: "raftlet status",
        run: Run::Verb(show::status),
    },
    Verb {
        name: "watch",
        words: "",
        summary: "the same, renewed each second",
        help: "Until Ctrl+C. In a pipe the tables follow one another, with an empty line between.",
        options: ASK,
        example: "raftlet watch",
        run: Run::Verb(show::watch),
    },
    Verb {
        name: "log",
        words: "[N]",
        summary: "print data/N/RaftLog.txt, or every node's",
        help: "The files as they lie on this machine's disk, whether or not the nodes run. With\n\
               --json the nodes that run are asked, and each entry is a line.",
        options: &["--data", "--config", "--of", "--timeout", "--json"],
        example: "raftlet log 1",
        run: Run::Verb(show::log),
    },
    Verb {
        name: "health",
        words: "[N]",
        summary: "is node N alive? For scripts and containers",
        help: "Without N it asks the node that NODE_ID names, or else the first of the registry.\n\
               The exit code is 0 if it answers and is well, 1 if not, also while it is paused.",
        options: ASK,
        example: "raftlet health 1",
        run: Run::Verb(node::health),
    },
];

const BREAKING: &[Verb] = &[
    Verb {
        name: "elect",
        words: "[N]",
        summary: "node N starts an election now, whoever leads",
        help: "Without N it is the first node that answers and does not lead.",
        options: ASK,
        example: "raftlet elect 2",
        run: Run::Verb(faults::elect),
    },
    Verb {
        name: "pause",
        words: "N",
        summary: "node N plays dead: hears nothing, says nothing",
        help: "Its timers stand still. It is not restarted: raftlet resume N wakes it, with its\n\
               memory as it was.",
        options: ASK,
        example: "raftlet pause 1",
        run: Run::Verb(faults::pause),
    },
    Verb {
        name: "resume",
        words: "N",
        summary: "wake a paused node N",
        help: "",
        options: ASK,
        example: "raftlet resume 1",
        run: Run::Verb(faults::resume),
    },
    Verb {
        name: "cut",
        words: "A [B]",
        summary: "nothing goes from node A to B; without B: A is all alone",
        help: "With B the cut is one way: A still hears B. Without B nothing goes to or from A.\n\
               raftlet heal mends it.",
        options: ASK,
        example: "raftlet cut 1",
        run: Run::Verb(links::cut),
    },
    Verb {
        name: "heal",
        words: "[A [B]]",
        summary: "mend the way from A to B, all ways of A, or all there are",
        help: "Links that lose or delay messages are mended as well.",
        options: ASK,
        example: "raftlet heal",
        run: Run::Verb(links::heal),
    },
];

const MORE: &[Verb] = &[Verb {
    name: "client",
    words: "",
    summary: "a menu to elect, propose and look, and a prompt for commands",
    help: "1 start an election, 2 propose a value, 3 send a heartbeat, 4 print the log,\n\
               5 exit; or type a command, such as set x 42. From a pipe it reads one command a\n\
               line, and the exit code is 1 if one of them failed.",
    options: &["--config", "--of", "--timeout"],
    example: "printf 'set x 42\\nget x\\n' | raftlet client",
    run: Run::Verb(|options| menu::run(options, perform)),
}];

const LAB: &[Verb] = &[
    Verb {
        name: "lab",
        words: "[SCRIPT]",
        summary: "Raft one step at a time: a prompt, or a script of its commands",
        help: "You say what happens: timeout n1, deliver n1->n2, crash n1, propose n2 set x=1.\n\
               Each line of the answer cites the rule of the paper that it follows from; why\n\
               explains it, back undoes the last step, save keeps the run as a script, and help\n\
               lists the rest. From a file or a pipe it prints the script with its output; if a\n\
               line cannot be done, or expects what is not so, the exit code is 1. The run can\n\
               be drawn or written down, each form to its FILE; see docs/TRACES.md.",
        options: LEAVE,
        example: "printf 'timeout n1\\nrun\\nshow\\n' | raftlet lab",
        run: Run::Verb(lab::run),
    },
    Verb {
        name: "replay",
        words: "[NAME]",
        summary: "the paper's Figures 7 and 8, and other stories, step by step",
        help: "Without a name it lists them. On a terminal it waits for Enter at each stage,\n\
               unless you say --brief. What it prints is a script: raftlet lab runs it again.\n\
               With --svg and its like the story is drawn; FILE-1, FILE-2 if it has several\n\
               clusters.",
        options: &["--brief", "--mermaid", "--svg", "--shiviz", "--jsonl"],
        example: "raftlet replay figure-8",
        run: Run::Verb(replay::run),
    },
    Verb {
        name: "break",
        words: "[RULE]",
        summary: "leave a rule of the paper out, and see the shortest run in which safety falls",
        help: "It searches random runs for one in which the rule's property falls, and leaves out\n\
               every command that is not needed for that. Then come the same commands with the\n\
               rule. For a rule of liveness it measures how much longer things take without.\n\
               Without RULE it lists them all. Best in a release build.",
        options: &["--all", "--save"],
        example: "raftlet break UpToDateLog",
        run: Run::Verb(ablate::run),
    },
    Verb {
        name: "rules",
        words: "[RULE]",
        summary: "every rule of the paper: where it stands, what falls without it",
        help: "This is docs/RULES.md, in the order of Figure 2: of each rule the sentence, the\n\
               property that falls, the test, the run that breaks it and the line that cites it.",
        options: &[],
        example: "raftlet rules UpToDateLog",
        run: Run::Verb(rules::run),
    },
    Verb {
        name: "quiz",
        words: "[N]",
        summary: "predict what will happen next, then watch it happen",
        help: "It shows servers, logs and messages, and asks: who wins, who votes, what is\n\
               committed? Then the simulator runs on, and says which rule decided. With N only\n\
               that question. From a pipe it reads an answer a line.",
        options: &[],
        example: "raftlet quiz 7",
        run: Run::Verb(quiz::run),
    },
    Verb {
        name: "sim",
        words: "",
        summary: "try thousands of accidents in a simulated cluster",
        help: "The same algorithm in a world where time is a number: messages are lost, servers\n\
               crash, disks forget, clocks go wrong, and each run comes from its seed alone. If a\n\
               property of the paper falls, it prints the seed and a short script for raftlet lab\n\
               in which the same falls. The run of --seed, or the one that fails, can be drawn or\n\
               written down, each form to its FILE (- is stdout); see docs/TRACES.md.",
        options: &[
            "--seed",
            "--seeds",
            "--nodes",
            "--steps",
            "--faults",
            "--jobs",
            "--without",
            "--exhaustive",
            "--mermaid",
            "--svg",
            "--shiviz",
            "--jsonl",
        ],
        example: "raftlet sim --seed 7",
        run: Run::Verb(simulate::run),
    },
    Verb {
        name: "check",
        words: "FILE...",
        summary: "did Raft's properties hold in a run that was written down?",
        help: "It reads what sim --jsonl or raftlet 1 --trace has written (- is stdin), all as\n\
               one run, and judges it by the five properties of Figure 3. If one fell it names\n\
               the line and tells what happened before, and the exit code is 1; it is 2 if a line\n\
               cannot be read. Files of several nodes are merged by terms, not by clocks.",
        options: &[],
        example: "raftlet check n1.jsonl n2.jsonl n3.jsonl",
        run: Run::Verb(check::run),
    },
    Verb {
        name: "experiment",
        words: "[NAME]",
        summary: "take a measurement of the paper again; without NAME: which ones",
        help: "election-timeout is Figure 16: how long a cluster has no leader after a crash, for\n\
               ten choices of the election timeout. In the simulator it takes a second, and a\n\
               seed gives the same numbers everywhere (default: --seed 1). With --real five\n\
               processes on free ports lose their leader to kill -9 again and again.",
        options: &["--trials", "--seed", "--out", "--real", "--kills"],
        example: "raftlet experiment election-timeout --out figure16.svg",
        run: Run::Verb(experiment::run),
    },
];

/// The verb that the words begin with; it is taken away, so that its own words are left. The
/// number of a node stays: it is a word of the verb that starts it.
pub fn find(options: &mut Options) -> Result<&'static Verb, Failure> {
    let first = options.words.first().cloned().unwrap_or_default();
    let is_number = first.starts_with(|first: char| first.is_ascii_digit());
    let name = if is_number { "" } else { &first };
    let mut verbs = GROUPS.iter().flat_map(|group| group.verbs);
    let is_meant =
        |verb: &&Verb| verb.name == name && (is_number == (verb.words == "N") || !name.is_empty());
    match verbs.find(is_meant) {
        Some(verb) => {
            if !name.is_empty() {
                options.words.remove(0);
            }
            Ok(verb)
        }
        None => Err(Failure::Usage(format!("no such verb: {first:?}; see raftlet --help"))),
    }
}

/// Finds the verb that the words begin with, and does it.
fn perform(mut options: Options) -> Result<(), Failure> {
    let verb = find(&mut options)?;
    verb.check(&options)?;
    match verb.run {
        Run::Verb(run) => run(&options),
        Run::Node(_) => Err(Failure::Usage("start a node in a terminal of its own".to_string())),
    }
}

impl Verb {
    /// `raftlet set K V`.
    pub fn usage(&self) -> String {
        let words = ["raftlet", self.name, self.words];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What it is called in a sentence: its name, or the number of the node that it starts.
    fn called<'a>(&'a self, options: &'a Options) -> &'a str {
        if self.name.is_empty() { options.word(0).unwrap_or("raftlet") } else { self.name }
    }

    /// Checks that these words and options go with it: what it does not know would be passed over
    /// in silence.
    pub fn check(&self, options: &Options) -> Result<(), Failure> {
        let (called, usage) = (self.called(options), self.usage());
        let most = match self.words.ends_with("...") {
            true => usize::MAX,
            false => self.words.split_whitespace().count(),
        };
        let least = self.words.split_whitespace().filter(|word| !word.starts_with('[')).count();
        if options.words.len() < least {
            return Err(Failure::Usage(format!("{called} needs more words: write {usage}")));
        }
        if let Some(extra) = options.word(most) {
            return Err(Failure::Usage(format!("{called} takes no {extra}: write {usage}")));
        }
        match options.given.iter().find(|given| !self.options.contains(&given.as_str())) {
            Some(given) => Err(Failure::Usage(format!(
                "{given} does not go with {called}: see raftlet --help"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::KNOWN;
    use super::*;

    fn checked(line: &str) -> Result<&'static Verb, Failure> {
        let mut options = Options::read(line.split_whitespace().map(String::from).collect())?;
        let verb = find(&mut options)?;
        verb.check(&options).map(|()| verb)
    }

    #[test]
    fn find_knows_verbs_numbers_and_nothing() {
        for (line, usage) in [
            ("", "raftlet"),
            ("--fast", "raftlet"),
            ("2", "raftlet N"),
            ("set x 1", "raftlet set K V"),
            ("pause 1", "raftlet pause N"),
            ("incr x", "raftlet incr K [BY]"),
            ("incr x -1", "raftlet incr K [BY]"),
            ("heal", "raftlet heal [A [B]]"),
            ("heal 1 2", "raftlet heal [A [B]]"),
            ("check a b c", "raftlet check FILE..."),
        ] {
            assert_eq!(checked(line).map(Verb::usage), Ok(usage.to_string()), "{line}");
        }
    }

    #[test]
    fn check_names_what_does_not_go_with_a_verb() {
        for (line, why) in [
            ("dance", "no such verb: \"dance\"; see raftlet --help"),
            ("set x", "set needs more words: write raftlet set K V"),
            ("pause", "pause needs more words: write raftlet pause N"),
            ("check", "check needs more words: write raftlet check FILE..."),
            ("up 3 --trace t", "--trace does not go with up: see raftlet --help"),
            ("get x y", "get takes no y: write raftlet get K"),
            ("heal 1 2 3", "heal takes no 3: write raftlet heal [A [B]]"),
            ("1 2", "1 takes no 2: write raftlet N"),
            ("set x 1 --local", "--local does not go with set: see raftlet --help"),
            ("up 3 --of 5", "--of does not go with up: see raftlet --help"),
            ("2 --json", "--json does not go with 2: see raftlet --help"),
            ("--json", "--json does not go with raftlet: see raftlet --help"),
        ] {
            assert_eq!(checked(line).map(Verb::usage), Err(Failure::Usage(why.into())), "{line}");
        }
    }

    #[test]
    fn table_is_complete() {
        for verb in GROUPS.iter().flat_map(|group| group.verbs) {
            for option in verb.options {
                assert!(KNOWN.iter().any(|known| known.name == *option), "{option}");
            }
            // A pipe or quotes are the shell's affair.
            let example = verb.example.rsplit("raftlet").next().expect("a part");
            let found = checked(example).map(|found| found.usage());
            assert_eq!(found, Ok(verb.usage()), "{}", verb.example);
        }
    }
}
