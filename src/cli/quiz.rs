//! `quiz`: predict what will happen, then see it happen.

use std::io::{self, BufRead, IsTerminal};

use super::failure::Failure;
use super::options::Options;
use super::replay::pause;
use super::stdout::print;
use crate::lab::quiz::{Answer, Form, Question, letter, questions};

const GREETING: &str = "\
What will happen next? Read, predict, and type your answer; Enter alone passes, q ends.
Nobody has written the answers down: the simulator works them out with the node's own code.
";

/// What came of a question.
enum Said {
    /// It was answered, or passed: whether that was right.
    Answer(bool),
    /// There will be no more answers.
    Enough,
}

/// Asks all questions, or one.
pub fn run(options: &Options) -> Result<(), Failure> {
    let questions = questions().map_err(Failure::Running)?;
    let count = questions.len();
    let asked = match options.word(0) {
        None => 0..count,
        Some(word) => match word.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => number - 1..number,
            _ => {
                let why = format!("there is no question {word}: they are numbered 1 to {count}");
                return Err(Failure::Usage(why));
            }
        },
    };
    let watched = io::stdin().is_terminal() && io::stdout().is_terminal();
    print(GREETING)?;
    let (mut right, mut answered) = (0, 0);
    for number in asked {
        if answered > 0 && watched && !pause()? {
            break;
        }
        print(&format!("\n{} of {count}: ", number + 1))?;
        match ask(&questions[number])? {
            Said::Answer(is_right) => {
                answered += 1;
                right += usize::from(is_right);
            }
            Said::Enough => break,
        }
    }
    print(&format!("\nThe end: {right} of {answered} right.\n"))
}

fn ask(question: &Question) -> Result<Said, Failure> {
    let played = question.play().map_err(Failure::Running)?;
    print(&format!("{}\n\n{}\n{}", question.title, played.setting, asks(question)))?;
    let answer = loop {
        let Some(line) = read_line()? else { return Ok(Said::Enough) };
        match line.trim() {
            "q" | "quit" => return Ok(Said::Enough),
            "" => break None,
            line => match question.understand(line) {
                Ok(answer) => break Some(answer),
                Err(why) => print(&format!("{why}\n"))?,
            },
        }
    };
    let is_right = answer.as_ref() == Some(&played.right);
    let verdict = verdict(question, answer.as_ref(), &played.right);
    print(&format!("{verdict}\n\n{}\n{}", played.outcome, question.because()))?;
    Ok(Said::Answer(is_right))
}

/// The question with its options, and what kind of answer it wants.
fn asks(question: &Question) -> String {
    let (choices, wanted) = match &question.form {
        Form::One(choices) => (choices.as_slice(), "one letter"),
        Form::All(choices) => (choices.as_slice(), "all letters that are right, or none"),
        Form::Number(_) => (&[][..], "a number"),
    };
    let mut text = format!("{}\n", question.asks);
    for (number, choice) in choices.iter().enumerate() {
        text += &format!("  {}  {}\n", letter(number), choice.text);
    }
    text + wanted
}

fn verdict(question: &Question, answer: Option<&Answer>, right: &Answer) -> String {
    let spelled = question.spell(right);
    match answer {
        None => format!("It is {spelled}."),
        Some(answer) if answer == right => format!("Right: {spelled}."),
        Some(_) => format!("No, it is {spelled}."),
    }
}

/// A line that the student types, or nothing at the end of the input. What comes from a pipe is
/// shown, as a terminal would show it.
fn read_line() -> Result<Option<String>, Failure> {
    print("> ")?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let bytes = read.map_err(|error| Failure::Running(format!("cannot read stdin: {error}")))?;
    if bytes == 0 {
        print("\n")?;
        return Ok(None);
    }
    if !io::stdin().is_terminal() {
        print(&format!("{}\n", line.trim()))?;
    }
    Ok(Some(line))
}
