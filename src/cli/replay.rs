//! `replay`: the paper's figures and the stories of the course, on real code, stage by stage.

use std::io::{self, BufRead, IsTerminal};

use super::failure::Failure;
use super::options::Options;
use super::stdout::print;
use crate::lab::script::Script;
use crate::lab::stories::{STORIES, Story, stages};
use crate::lab::trace;

const ASK: &str = "[Enter: go on, q: end] ";

/// Goes up to the line where the question stood, and clears it.
const CLEAR_LINE_ABOVE: &str = "\x1b[1A\x1b[K";

/// Tells a story, with a pause at each stage if somebody watches; or lists them all.
pub fn run(options: &Options) -> Result<(), Failure> {
    let Some(name) = options.word(0) else { return print(&list()) };
    let story = Story::named(name).map_err(Failure::Usage)?;
    let mut script = Script::new(story.name);
    if options.leave.any() {
        script.record();
    }
    let text: Result<String, String> = story.script.lines().map(|line| script.line(line)).collect();
    let text = text.map_err(Failure::Running)?;
    trace::write(&options.leave, &script.lab().recordings()).map_err(Failure::Running)?;
    if options.leave.take_stdout() {
        return Ok(());
    }
    let watched = io::stdin().is_terminal() && io::stdout().is_terminal();
    for (before, stage) in stages(&text).into_iter().enumerate() {
        if before > 0 && watched && !options.brief && !pause()? {
            break;
        }
        print(stage)?;
    }
    Ok(())
}

fn list() -> String {
    let line = |story: Story| format!("  {:20}{}\n", story.name, story.title());
    let lines: String = STORIES.into_iter().map(line).collect();
    format!(
        "{lines}\nraftlet replay figure-8 tells one; raftlet lab is a prompt to try it yourself.\n"
    )
}

/// Waits for Enter; false if that was enough.
pub fn pause() -> Result<bool, Failure> {
    print(ASK)?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let bytes = read.map_err(|error| Failure::Running(format!("cannot read stdin: {error}")))?;
    if bytes == 0 {
        return print("\n").map(|()| false);
    }
    print(CLEAR_LINE_ABOVE)?;
    Ok(line.trim() != "q")
}
