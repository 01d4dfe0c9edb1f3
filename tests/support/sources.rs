//! The sources of the crate as text, for the tests that look at the code itself.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path, and its text.
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// The room that the file belongs to: `lab` for `src/lab.rs` and for all files of `src/lab`.
    pub fn room(&self) -> String {
        let below_src = self.path.strip_prefix("src").expect("all sources are below src");
        let first = below_src.iter().next().expect("a file has a name").to_string_lossy();
        first.trim_end_matches(".rs").to_string()
    }

    /// The text without the tests.
    pub fn code(&self) -> &str {
        let mark = "#[cfg(test)]\n";
        let opens_tests = |&(at, _): &(usize, &str)| {
            let next = self.text[at + mark.len()..].lines().next();
            next.is_some_and(|line| line.contains("mod tests"))
        };
        let tests = self.text.match_indices(mark).find(opens_tests);
        tests.map_or(&self.text, |(at, _)| &self.text[..at])
    }
}

pub fn rust_files(folder: &str) -> Vec<Source> {
    files(folder, &["rs"])
}

/// The dashboard, as browsers get it.
pub fn page_files() -> Vec<Source> {
    files("src/dashboard", &["html", "css", "js"])
}

fn files(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let extension = path.extension().unwrap_or_default();
            if extensions.iter().any(|wanted| extension == *wanted) {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The sources of the crate itself: the bridge to serde_json is a package of its own.
pub fn sources() -> Vec<Source> {
    let bridge = Path::new("src/json/bridge");
    rust_files("src").into_iter().filter(|source| !source.path.starts_with(bridge)).collect()
}

pub fn assert_none(what: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{what}:\n{}", offences.join("\n"));
}
