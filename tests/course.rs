//! The course holds what it says: the page of rules, the exercises and their answers, and the quiz.

mod support;

use std::fs;
use std::process::Output;

use raftlet::lab::quiz::{Answer, Form, Question, letter, questions};
use raftlet::lab::script;
use raftlet::node::rules::Rule;
use support::{exits, output_of, raftlet, run, text};

#[test]
fn rules_page_is_what_the_program_prints() {
    let (printed, _) = exits(&run(&["rules"]), 0);
    let page = fs::read_to_string("docs/RULES.md").expect("docs/RULES.md");
    assert!(page == printed, "docs/RULES.md is old: cargo run -q -- rules > docs/RULES.md");
    for rule in Rule::all() {
        let (one, _) = exits(&run(&["rules", &rule.name()]), 0);
        assert!(page.contains(&one) && one.contains(rule.about().sentence), "{one}");
    }
    let (_, err) = exits(&run(&["rules", "UpToDate"]), 2);
    assert_eq!(err, "raftlet: there is no rule UpToDate; did you mean UpToDateLog?\n");
}

// ---- The quiz ----------------------------------------------------------------------------------

fn quiz() -> Vec<Question> {
    questions().unwrap_or_else(|why| panic!("{why}"))
}

/// What a student types who knows it all.
fn typed(answer: &Answer) -> String {
    match answer {
        Answer::Number(number) => number.to_string(),
        Answer::Options(chosen) if chosen.is_empty() => "none".to_string(),
        Answer::Options(chosen) => chosen.iter().map(|&number| letter(number)).collect(),
    }
}

/// What a student types who is always wrong.
fn mistyped(question: &Question, right: &Answer) -> String {
    match (right, &question.form) {
        (Answer::Number(number), _) => (number + 1).to_string(),
        (Answer::Options(chosen), Form::All(_)) if !chosen.is_empty() => "none".to_string(),
        (Answer::Options(chosen), _) if chosen[..] == [0] => "b".to_string(),
        _ => "a".to_string(),
    }
}

#[test]
fn every_question_has_its_answer_among_its_options() {
    let quiz = quiz();
    assert!(quiz.len() >= 15);
    for question in &quiz {
        let title = &question.title;
        let played = question.play().unwrap_or_else(|why| panic!("{title}: {why}"));
        match (&question.form, &played.right) {
            (Form::One(choices), Answer::Options(right)) => {
                assert!(choices.len() >= 2, "{title}");
                assert_eq!(right.len(), 1, "{title}: {right:?} are right");
            }
            (Form::All(choices), Answer::Options(right)) => {
                assert!(choices.len() >= 3 && right.len() <= choices.len(), "{title}");
            }
            (Form::Number(_), Answer::Number(_)) => {}
            other => panic!("{title}: {other:?}"),
        }
        assert!(played.setting.lines().any(|line| line.starts_with("lab> ")), "{title}");
        assert!(played.outcome.lines().any(|line| !line.starts_with(['l', ' '])), "{title}");
        assert_eq!(question.understand(&typed(&played.right)), Ok(played.right), "{title}");
    }
}

#[test]
fn every_question_is_asked_and_is_a_script_that_passes() {
    let files = fs::read_dir("src/lab/quiz").expect("src/lab/quiz");
    let paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    assert_eq!(paths.len(), quiz().len(), "lab/quiz.rs lists the files");
    for path in paths {
        let text = fs::read_to_string(&path).expect("readable");
        let name = path.to_string_lossy();
        script::run(&name, &text).unwrap_or_else(|why| panic!("{why}"));
        let title = Question::read(&text).unwrap_or_else(|why| panic!("{name}: {why}")).title;
        assert!(quiz().iter().any(|question| question.title == title), "{name}");
    }
}

/// The answers come from the rules: where the rule that decides is left out, most of them change.
#[test]
fn answers_change_when_the_rule_that_decides_is_left_out() {
    let mut same = Vec::new();
    for path in fs::read_dir("src/lab/quiz").expect("src/lab/quiz") {
        let text = fs::read_to_string(path.expect("readable").path()).expect("readable");
        let question = Question::read(&text).expect("it was read before");
        let (title, script) = text.split_once('\n').expect("a title");
        let without = format!("{title}\nwithout {}\n{script}", question.rule.name());
        let bent = Question::read(&without).expect("the same, less a rule").play();
        let right = question.play().expect("it was played before").right;
        if bent.is_ok_and(|bent| bent.right == right) {
            same.push(question.title);
        }
    }
    same.sort();
    let expected = [
        // Without the rule n1 would not have been elected in the first place.
        "A server that hears nobody (§5.1)",
        // The logs are of one length, so it is n5 by length alone as well.
        "Figure 8 (d): n5 comes back (§5.4.1)",
        // The rule says how far followers commit at most, not when they hear of it.
        "Who knows that it is committed? (§5.3)",
    ];
    assert_eq!(same, expected);
}

fn quiz_in_a_pipe(words: &[&str], typed: &str) -> String {
    exits(&output_of(&mut raftlet(words), typed), 0).0
}

#[test]
fn quiz_counts_right_and_wrong_answers() {
    let quiz = quiz();
    let count = quiz.len();
    let (mut right, mut wrong) = (String::new(), String::new());
    for question in &quiz {
        let played = question.play().expect("it was played before");
        right += &format!("{}\n", typed(&played.right));
        wrong += &format!("{}\n", mistyped(question, &played.right));
    }
    let told = quiz_in_a_pipe(&["quiz"], &right);
    assert!(told.ends_with(&format!("\nThe end: {count} of {count} right.\n")), "{told}");
    assert_eq!(told.matches("\nRight: ").count(), count);
    let told = quiz_in_a_pipe(&["quiz"], &wrong);
    assert!(told.ends_with(&format!("\nThe end: 0 of {count} right.\n")), "{told}");
    assert_eq!(told.matches("\nNo, it is ").count(), count);
}

#[test]
fn quiz_ends_politely_asks_again_and_passes() {
    let told = quiz_in_a_pipe(&["quiz"], "");
    assert!(told.ends_with("\nThe end: 0 of 0 right.\n"), "{told}");
    let told = quiz_in_a_pipe(&["quiz"], "abc\nq\n");
    assert!(told.ends_with("\nThe end: 1 of 1 right.\n"), "{told}");
    let told = quiz_in_a_pipe(&["quiz", "2"], "all\n7\nA\n");
    assert_eq!(told.matches("type one letter, a to c\n").count(), 2, "{told}");
    assert!(told.contains("\nRight: a (n1).\n") && told.ends_with(": 1 of 1 right.\n"), "{told}");
    assert!(told.contains("\nOneVotePerTerm (RequestVote 2, §5.2)\n"), "{told}");
    let told = quiz_in_a_pipe(&["quiz", "2"], "\n");
    assert!(told.contains("\nIt is a (n1).\n") && told.ends_with(": 0 of 1 right.\n"), "{told}");
    let count = quiz().len();
    for word in ["0", "99", "two"] {
        let (_, err) = exits(&run(&["quiz", word]), 2);
        let why = format!("raftlet: there is no question {word}: they are numbered 1 to {count}\n");
        assert_eq!(err, why);
    }
}

// ---- The exercises -----------------------------------------------------------------------------

/// The verbs of the lab: what they do needs no cluster.
const OF_THE_LAB: [&str; 8] =
    ["lab", "replay", "rules", "quiz", "break", "sim", "experiment", "check"];

fn exercises() -> Vec<String> {
    let page = fs::read_to_string("docs/EXERCISES.md").expect("docs/EXERCISES.md");
    page.split("\n## ").skip(1).map(String::from).collect()
}

/// What stands in the blocks of this kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().expect("a part")).collect()
}

fn perform(command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    output_of(&mut raftlet(&words), "")
}

#[test]
fn exercises_are_ten_with_goal_reading_work_and_answer() {
    let exercises = exercises();
    assert_eq!(exercises.len(), 10);
    for exercise in &exercises {
        let title = exercise.lines().next().expect("a title");
        let mut rest = exercise.as_str();
        for part in ["**Goal.**", "**Read.**", "**Do.**", "```sh\n", "<details>", "</details>"] {
            let Some((_, after)) = rest.split_once(part) else { panic!("{title}: no {part}") };
            rest = after;
        }
    }
}

#[test]
fn exercises_scripts_run_and_what_they_expect_is_so() {
    for exercise in exercises() {
        let title = exercise.lines().next().expect("a title");
        let answer = exercise.split_once("<details>").expect("an answer").1;
        for text in blocks(&exercise, "text") {
            script::run(title, text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        }
        let expects = blocks(answer, "text").concat().matches("\nexpect ").count();
        assert!(expects > 0 || !blocks(answer, "console").is_empty(), "{title} claims nothing");
    }
}

#[test]
fn exercises_commands_exist_and_those_of_the_lab_work() {
    for exercise in exercises() {
        for line in blocks(&exercise, "sh").iter().flat_map(|block| block.lines()) {
            let Some(verb) = line.strip_prefix("raftlet ") else {
                assert!(line.starts_with("curl "), "{line}");
                continue;
            };
            let verb = verb.split(' ').next().expect("a word");
            if OF_THE_LAB.contains(&verb) && !line.contains("--without") {
                exits(&perform(line), 0);
            } else if verb.starts_with(char::is_alphabetic) {
                exits(&run(&[verb, "--help"]), 0);
            }
        }
    }
}

/// A line that begins with $ is a command; those behind it are parts of what it prints, in order.
#[test]
fn exercises_commands_print_what_the_answers_say() {
    for exercise in exercises() {
        let mut printed = String::new();
        let blocks = blocks(&exercise, "console").into_iter();
        for line in blocks.flat_map(str::lines) {
            if let Some(command) = line.strip_prefix("$ ") {
                let Output { stdout, stderr, .. } = perform(command);
                printed = text(&stdout) + &text(&stderr);
                continue;
            }
            let Some((_, after)) = printed.split_once(line) else { panic!("{line}:\n{printed}") };
            printed = after.to_string();
        }
    }
}
