//! Golden traces: scripts of the lab under `tests/traces/`, and the stories of `raftlet replay`,
//! with the output that they must have.
//!
//! Each file is a lesson to be read. Each is run, and what comes out must be what the file says.
//! After a change that is meant, `UPDATE_TRACES=1 cargo test --test traces` writes the files anew;
//! read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use raftlet::lab::stories::STORIES;

#[test]
fn every_trace_gives_the_output_that_it_shows() {
    assert_all_give_what_they_show(&scripts("tests/traces"));
}

#[test]
fn every_story_gives_the_output_that_it_shows() {
    assert_all_give_what_they_show(&scripts("src/lab/stories"));
}

/// A story that nobody can replay would be forgotten.
#[test]
fn every_story_is_built_in() {
    let mut built_in = STORIES.map(|story| format!("{}.txt", story.name)).to_vec();
    built_in.sort();
    let name = |path: &PathBuf| path.file_name().expect("a file").to_string_lossy().into_owned();
    let files: Vec<String> = scripts("src/lab/stories").iter().map(name).collect();
    assert_eq!(built_in, files);
}

/// The files of a folder, by name.
fn scripts(folder: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&directory).expect("it is part of the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

fn assert_all_give_what_they_show(paths: &[PathBuf]) {
    let complaints: Vec<String> = paths.iter().filter_map(|path| compare(path).err()).collect();
    assert!(!paths.is_empty());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n\n"));
}

fn compare(path: &Path) -> Result<(), String> {
    let name = path.file_name().expect("a file").to_string_lossy();
    let expected = fs::read_to_string(path).map_err(|why| format!("{name}: {why}"))?;
    let actual = raftlet::lab::script::run(&name, &expected)?;
    if std::env::var_os("UPDATE_TRACES").is_some() {
        return fs::write(path, actual).map_err(|why| format!("{name}: {why}"));
    }
    let mut lines = expected.lines().zip(actual.lines());
    let same = lines.clone().take_while(|(expected, actual)| expected == actual).count();
    if let Some((expected, actual)) = lines.nth(same) {
        let number = same + 1;
        return Err(format!(
            "{name}:{number}:\n  the file says: {expected}\n  the run gave:  {actual}"
        ));
    }
    match expected.len() == actual.len() {
        true => Ok(()),
        false => Err(format!("{name}:{}: the output is longer or shorter here", same + 1)),
    }
}
