//! `raftlet lab` and `raftlet replay` as a student and a script use them: the built binary, with a
//! pipe on its stdin. What is typed at a prompt is tested beside the prompt's code.

mod support;

use std::fs;

use raftlet::lab::script;
use raftlet::lab::stories::STORIES;
use support::{Scratch, exits, output_of, raftlet, run};

/// The commands of a script and its prose, without its output.
fn without_output(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with(' '));
    kept.map(|line| format!("{line}\n")).collect()
}

/// A story with its output, as its file has it.
fn story_file(name: &str) -> String {
    let path = format!("{}/src/lab/stories/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("it is part of the repository")
}

#[test]
fn lab_in_a_pipe_and_from_a_file_gives_the_text_of_the_script() {
    let scratch = Scratch::new();
    let path = scratch.0.join("story.txt");
    for story in STORIES {
        let text = story_file(story.name);
        let bare = without_output(&text);
        assert_ne!(bare, text);
        assert_eq!(bare, story.script, "what is built in");
        let expected = script::run(story.name, &bare).expect("a story is a script");
        let (piped, _) = exits(&output_of(&mut raftlet(&["lab"]), &bare), 0);
        assert_eq!(piped, expected, "{}", story.name);
        fs::write(&path, &bare).expect("the directory is ours");
        let (read, _) = exits(&run(&["lab", path.to_str().expect("plain letters")]), 0);
        assert_eq!(read, expected, "{}", story.name);
    }
}

#[test]
fn lab_stops_at_the_first_line_that_is_wrong_and_names_it() {
    for (text, told, why) in [
        ("show\nfly\nshow\n", "show\n", "stdin:2: fly: there is no such command"),
        ("expect leader n1\n", "", "stdin:1: expect: expected leader n1, found: n1 is follower"),
        ("# a\nwithout NoOps\n", "# a\n", "no rule NoOps; did you mean NoOp?"),
        ("save run.txt\n", "", "stdin:1: save: only at the prompt"),
    ] {
        let (out, err) = exits(&output_of(&mut raftlet(&["lab"]), text), 1);
        assert!(out.starts_with(told) && !out.contains("fly"), "{out}");
        assert!(err.contains(why) && err.lines().count() == 1, "{err}");
    }
    let (_, err) = exits(&run(&["lab", "no such file"]), 1);
    assert!(err.starts_with("raftlet: cannot read no such file: "), "{err}");
}

#[test]
fn lab_ends_with_quit() {
    let (out, _) = exits(&output_of(&mut raftlet(&["lab"]), "crash n3\nquit\nfly\n"), 0);
    assert_eq!(out, "crash n3\n    n3 crashes\nquit\n");
}

#[test]
fn replay_lists_the_stories_and_tells_each_without_a_pause_in_a_pipe() {
    let (list, _) = exits(&run(&["replay"]), 0);
    for story in STORIES {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(story.name));
        assert!(line.is_some_and(|line| line.ends_with(story.title())), "{list}");
    }
    for name in ["figure-7", "figure-8"] {
        let (told, _) = exits(&run(&["replay", name]), 0);
        assert_eq!(told, story_file(name));
    }
    let (_, err) = exits(&run(&["replay", "figure-6"]), 2);
    assert!(err.ends_with("no story figure-6; did you mean figure-7 or figure-8?\n"), "{err}");
}
