//! `raftlet experiment`: what it prints, what it draws, and what it refuses.

mod support;

use std::fs;

use support::{Scratch, run, text};

fn stdout(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The cells of a line of the table.
fn cells<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().collect()
}

#[test]
fn experiment_without_a_name_lists_them_and_a_wrong_name_gets_the_nearest() {
    assert!(stdout(&["experiment"]).starts_with("election-timeout  Figure 16: "));
    for (words, why) in [
        (
            "elction-timeout",
            "unknown experiment \"elction-timeout\": known are election-timeout; \
          did you mean election-timeout?",
        ),
        ("election-timeout --kills 2", "--kills needs --real"),
        ("election-timeout --real --trials 2", "--trials does not go with --real"),
        ("election-timeout --out a.png", "--out is a file that ends in .svg or .html, not a.png"),
        ("election-timeout --trials 0", "--trials is a whole number from 1 to 1000000, not 0"),
    ] {
        let words: Vec<&str> = ["experiment"].into_iter().chain(words.split(' ')).collect();
        let output = run(&words);
        assert_eq!(text(&output.stderr), format!("raftlet: {why}\n"), "{words:?}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn election_timeout_is_the_same_for_the_same_seed_and_is_drawn() {
    let scratch = Scratch::new();
    let [svg, html] = ["f.svg", "f.html"].map(|name| scratch.0.join(name).display().to_string());
    let measure = |seed, out| {
        stdout(&["experiment", "election-timeout", "--trials", "5", "--seed", seed, "--out", out])
    };
    let table = measure("3", &svg);
    assert_eq!(cells(&table, "150–150")[..3], ["5", ">100", "s"]);
    let row = cells(&table, "12–24");
    assert_eq!((row[0], row[2]), ("5", "30"), "{table}");
    assert_eq!(measure("3", &html), table.replace(&svg, &html));
    assert_ne!(measure("4", &html), table.replace(&svg, &html));

    let (svg, html) = (fs::read_to_string(svg).unwrap(), fs::read_to_string(html).unwrap());
    assert!(svg.starts_with("<svg ") && svg.contains("Seed 3."), "{svg}");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<svg "), "{html}");
    assert!(html.contains("&gt;100 s"), "the table is there, too");
}

#[test]
fn election_timeout_of_real_processes_survives_two_kills() {
    let table = stdout(&["experiment", "election-timeout", "--real", "--kills", "2"]);
    let median = |name| cells(&table, name)[1].parse::<f64>().expect("a number");
    // The least timeout and the heartbeat interval before it; a write comes after an election.
    assert!(median("a new leader") >= 75.0, "{table}");
    assert!(median("a write") >= median("a new leader"), "{table}");
    assert_eq!(cells(&table, "a write")[0], "2");
}
