//! The quiz: what will happen next? Nobody has written the answers down: each question is a script,
//! and what is right is what the real node code does when the script is run.
//!
//! A question is a file of `quiz/`, in the script language, so `raftlet lab` runs it as well. Its
//! first line is its title. Lines that begin with `#` and a sign are for the quiz alone:
//!
//! ```text
//! #? the question: what stands before it is shown first, what follows only with the answer
//! #- one of the options: what must be so if it is right; just one of them is
//! #+ one of several that may be right: what must be so
//! #= refusals n2 ?      instead of options: the answer is a number, in the place of the ?
//! #! UpToDateLog        the rule that decides
//! ```
//!
//! What must be so is what `expect` takes, when the script is at its end. It may have commands of
//! its own before it, with semicolons between: then it is a what-if, which begins at the question.
//! Commands after `quietly` are not shown.

use super::script::{Debugger, Lab};
use crate::node::rules::{About, Rule};

/// The greatest number that a question may have for its answer.
const MAX_NUMBER: u64 = 99;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it is about, in one line.
    pub title: String,
    /// What is asked.
    pub asks: String,
    /// How it can be answered.
    pub form: Form,
    /// The rule that decides.
    pub rule: Rule,
    /// The lines of the script before the question, and those behind it.
    before: Vec<String>,
    after: Vec<String>,
}

/// How a question can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// With one of these.
    One(Vec<Choice>),
    /// With all of these that are right.
    All(Vec<Choice>),
    /// With a number, in the place of the `?` in what must be so.
    Number(String),
}

/// An option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What the student reads.
    pub text: String,
    /// What must be so if it is right.
    claim: String,
}

/// An answer: the student's, or the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These options, counted from 0, in order.
    Options(Vec<usize>),
    /// This number.
    Number(u64),
}

/// A question whose script was run.
#[derive(Clone, Debug)]
pub struct Played {
    /// What happened before the question, to be shown with it.
    pub setting: String,
    /// What happened then, and why.
    pub outcome: String,
    /// The right answer.
    pub right: Answer,
}

const FILES: [&str; 23] = [
    include_str!("quiz/majority.txt"),
    include_str!("quiz/two-candidates.txt"),
    include_str!("quiz/split-vote.txt"),
    include_str!("quiz/restart.txt"),
    include_str!("quiz/late-vote.txt"),
    include_str!("quiz/vote-twice.txt"),
    include_str!("quiz/disruptive.txt"),
    include_str!("quiz/who-can-win.txt"),
    include_str!("quiz/figure-7-votes.txt"),
    include_str!("quiz/figure-7-next-index.txt"),
    include_str!("quiz/figure-7-refusals.txt"),
    include_str!("quiz/figure-7-extra.txt"),
    include_str!("quiz/figure-7-new-entry.txt"),
    include_str!("quiz/late-message.txt"),
    include_str!("quiz/who-knows.txt"),
    include_str!("quiz/figure-8-c.txt"),
    include_str!("quiz/figure-8-d.txt"),
    include_str!("quiz/figure-8-e.txt"),
    include_str!("quiz/minority.txt"),
    include_str!("quiz/old-leader.txt"),
    include_str!("quiz/deposed-read.txt"),
    include_str!("quiz/new-leader-read.txt"),
    include_str!("quiz/retry.txt"),
];

/// All questions, in the order in which they are asked.
pub fn questions() -> Result<Vec<Question>, String> {
    FILES.into_iter().map(Question::read).collect()
}

impl Question {
    /// Reads the file of a question.
    pub fn read(text: &str) -> Result<Question, String> {
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default().trim_start_matches("# ").to_string();
        let named = |why: &str| format!("the question {title:?} {why}");
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let (mut asks, mut rule, mut form) = (None, None, None);
        for line in lines {
            match line.split_at_checked(2) {
                Some(("#?", text)) => asks = Some(text.trim().to_string()),
                Some(("#!", name)) => rule = Rule::named(name.trim()),
                Some(("#=", claim)) => form = Some(Form::Number(claim.trim().to_string())),
                Some((sign @ ("#-" | "#+"), choice)) => {
                    let choice = Choice::read(choice).ok_or_else(|| named("has a bare option"))?;
                    add(&mut form, sign, choice);
                }
                _ if asks.is_none() => before.push(line.to_string()),
                _ => after.push(line.to_string()),
            }
        }
        Ok(Question {
            asks: asks.ok_or_else(|| named("asks nothing"))?,
            form: form.ok_or_else(|| named("cannot be answered"))?,
            rule: rule.ok_or_else(|| named("names no rule"))?,
            title,
            before,
            after,
        })
    }

    /// Runs the script, to its end, and with it whatever the options ask to try.
    pub fn play(&self) -> Result<Played, String> {
        let mut debugger = Debugger::default();
        let setting = shown(&mut debugger, &self.before)?;
        let asked = debugger.clone();
        let outcome = shown(&mut debugger, &self.after)?;
        let is_right = |claim: &str| judge(&asked, &debugger, claim);
        let right = match &self.form {
            Form::One(choices) | Form::All(choices) => {
                let mut right = Vec::new();
                for (number, choice) in choices.iter().enumerate() {
                    if is_right(&choice.claim)? {
                        right.push(number);
                    }
                }
                Answer::Options(right)
            }
            Form::Number(claim) => {
                Answer::Number(number(|text| is_right(&claim.replace('?', text)))?)
            }
        };
        Ok(Played { setting, outcome, right })
    }

    /// What the rule asks, and what it is for.
    pub fn because(&self) -> String {
        let About { sentence, falls, .. } = self.rule.about();
        let (name, rule) = (self.rule.name(), self.rule);
        format!("{name} ({rule})\n  {sentence}\n  Without it {falls} falls: {}\n", falls.sentence())
    }

    /// What the student's line means; the error says what to type.
    pub fn understand(&self, line: &str) -> Result<Answer, String> {
        match &self.form {
            Form::Number(_) => match line.parse() {
                Ok(number) => Ok(Answer::Number(number)),
                Err(_) => Err("type a number".to_string()),
            },
            Form::One(choices) => match options(choices, line).as_deref() {
                Some(&[only]) => Ok(Answer::Options(vec![only])),
                _ => Err(format!("type one letter, a to {}", letter(choices.len() - 1))),
            },
            Form::All(choices) => match options(choices, line) {
                Some(chosen) => Ok(Answer::Options(chosen)),
                None => Err(format!(
                    "type letters, a to {}, or none: ab if a and b are right",
                    letter(choices.len() - 1)
                )),
            },
        }
    }

    /// An answer as a student reads it: `b (no)`, or `a (n1), c (n3)`.
    pub fn spell(&self, answer: &Answer) -> String {
        let (chosen, choices) = match (answer, &self.form) {
            (Answer::Number(number), _) => return number.to_string(),
            (Answer::Options(chosen), Form::One(choices) | Form::All(choices)) => (chosen, choices),
            (Answer::Options(_), Form::Number(_)) => return "no number".to_string(),
        };
        let option = |&number: &usize| format!("{} ({})", letter(number), choices[number].text);
        match chosen.is_empty() {
            true => "none of them".to_string(),
            false => chosen.iter().map(option).collect::<Vec<_>>().join(", "),
        }
    }
}

impl Choice {
    /// `yes: vote n3 n1`.
    fn read(text: &str) -> Option<Choice> {
        let (text, claim) = text.split_once(": ")?;
        Some(Choice { text: text.trim().to_string(), claim: claim.trim().to_string() })
    }
}

fn add(form: &mut Option<Form>, sign: &str, choice: Choice) {
    match form {
        Some(Form::One(choices) | Form::All(choices)) => choices.push(choice),
        _ if sign == "#-" => *form = Some(Form::One(vec![choice])),
        _ => *form = Some(Form::All(vec![choice])),
    }
}

/// The letter of an option: `a` for the first.
pub fn letter(number: usize) -> char {
    char::from(b'a' + number as u8)
}

/// The options that a line names: by an option's own text, or by letters, with or without spaces
/// and commas between.
fn options(choices: &[Choice], line: &str) -> Option<Vec<usize>> {
    if line == "none" {
        return Some(Vec::new());
    }
    if let Some(number) = choices.iter().position(|choice| choice.text.eq_ignore_ascii_case(line)) {
        return Some(vec![number]);
    }
    let mut chosen = Vec::new();
    for named in line.chars().filter(|named| !named.is_whitespace() && *named != ',') {
        let named = named.to_ascii_lowercase();
        chosen.push((0..choices.len()).find(|&number| letter(number) == named)?);
    }
    chosen.sort_unstable();
    chosen.dedup();
    (!chosen.is_empty()).then_some(chosen)
}

/// Runs lines, and tells them: prose as prose, commands as at the lab's prompt.
fn shown(debugger: &mut Debugger, lines: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for line in lines {
        let told = debugger.command(line)?;
        match line.strip_prefix('#') {
            Some(prose) => text += &format!("{}\n", prose.trim_start()),
            None if line.starts_with("quietly ") => {}
            None if line.is_empty() => text.push('\n'),
            None => text += &format!("lab> {line}\n"),
        }
        told.iter().for_each(|line| text += &format!("    {line}\n"));
    }
    Ok(format!("{}\n", text.trim_matches('\n')))
}

/// Whether a claim is so at the end of the script; if it has commands of its own, whether it is so
/// when they are done after the question.
fn judge(asked: &Debugger, end: &Debugger, claim: &str) -> Result<bool, String> {
    let Some((commands, claim)) = claim.rsplit_once("; ") else {
        return is_so(&mut end.lab.clone(), claim);
    };
    let mut what_if = asked.lab.clone();
    for command in commands.split("; ") {
        what_if.command(command)?;
    }
    is_so(&mut what_if, claim)
}

fn is_so(lab: &mut Lab, claim: &str) -> Result<bool, String> {
    lab.judge(claim).map(|(is_so, _)| is_so)
}

/// The number for which it is so.
fn number(is_so: impl Fn(&str) -> Result<bool, String>) -> Result<u64, String> {
    for number in 0..=MAX_NUMBER {
        if is_so(&number.to_string())? {
            return Ok(number);
        }
    }
    Err(format!("no number up to {MAX_NUMBER} is right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTES: &str = "# Votes\n#\n# Two ask.\ncluster 3\nquietly timeout n1\ntimeout n2\n\n\
        #? Whom does n3 vote for?\n#- n1: vote n3 n1\n#- n2: vote n3 n2\n#! OneVotePerTerm\n\n\
        deliver n2->n3\n# First come, first served.\n";

    fn question(text: &str) -> Question {
        Question::read(text).unwrap_or_else(|why| panic!("{why}"))
    }

    fn right(text: &str) -> Answer {
        question(text).play().unwrap_or_else(|why| panic!("{why}")).right
    }

    #[test]
    fn play_works_out_the_answer_and_shows_what_was_before_and_after() {
        let question = question(VOTES);
        assert_eq!((question.title.as_str(), question.rule), ("Votes", Rule::OneVotePerTerm));
        let played = question.play().unwrap();
        assert_eq!(played.right, Answer::Options(vec![1]));
        assert_eq!(question.spell(&played.right), "b (n2)");
        assert!(played.setting.starts_with("Two ask.\nlab> cluster 3\nlab> timeout n2\n    n2"));
        assert!(played.outcome.starts_with("lab> deliver n2->n3\n    [4] reaches n3"));
        assert!(played.outcome.ends_with("\nFirst come, first served.\n"));
        assert_eq!(right(&VOTES.replace("deliver n2", "deliver n1")), Answer::Options(vec![0]));
    }

    #[test]
    fn play_finds_the_number_and_tries_what_ifs_from_the_question_on() {
        let ask = VOTES.replace("#- n1: vote n3 n1\n#- n2: vote n3 n2", "#= term n2 ?");
        assert_eq!(right(&ask), Answer::Number(1));
        let what_if = VOTES.replace("#- n1: vote", "#+ n1: run; drop n1 0; vote");
        assert!(question(&what_if).play().unwrap_err().starts_with("drop: "));
        let what_if = VOTES.replace("#- n1: vote", "#+ n1: deliver n1->n3; timeout n3; vote");
        assert_eq!(right(&what_if), Answer::Options(vec![1]), "n3 votes for itself, in term 2");
        let what_if = VOTES.replace("#- n1: vote", "#+ n1: deliver n1->n3; vote");
        assert_eq!(right(&what_if), Answer::Options(vec![0, 1]));
    }

    #[test]
    fn read_names_the_question_and_what_it_lacks() {
        for (lacks, why) in [
            ("#? Whom does n3 vote for?\n", "asks nothing"),
            ("#! OneVotePerTerm\n", "names no rule"),
            ("#- n1: vote n3 n1\n#- n2: vote n3 n2\n", "cannot be answered"),
            (": vote n3 n1", "has a bare option"),
        ] {
            let error = Question::read(&VOTES.replace(lacks, "")).map(|question| question.title);
            assert_eq!(error, Err(format!("the question \"Votes\" {why}")));
        }
    }

    #[test]
    fn understand_takes_letters_and_the_words_of_an_option() {
        let one = question(VOTES);
        let two = question(&VOTES.replace("#-", "#+"));
        for (line, of_one, of_two) in [
            ("b", Some(vec![1]), Some(vec![1])),
            ("A", Some(vec![0]), Some(vec![0])),
            ("N2", Some(vec![1]), Some(vec![1])),
            ("b, a", None, Some(vec![0, 1])),
            ("aab", None, Some(vec![0, 1])),
            ("none", None, Some(vec![])),
            ("c", None, None),
            ("yes", None, None),
            (",", None, None),
        ] {
            assert_eq!(one.understand(line).ok(), of_one.map(Answer::Options), "{line}");
            assert_eq!(two.understand(line).ok(), of_two.map(Answer::Options), "{line}");
        }
        let number =
            question(&VOTES.replace("#- n1: vote n3 n1\n#- n2: vote n3 n2", "#= term n2 ?"));
        assert_eq!(number.understand("12"), Ok(Answer::Number(12)));
        assert_eq!(number.understand("b"), Err("type a number".to_string()));
    }
}
