//! No two files of `src` import each other, nor three in a ring: a reader who follows the imports
//! of a file never comes back to it. The test reads the sources as text, draws an arrow from each
//! file to the files that it names, and shows every circle of arrows with the lines that make it.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::sources::{Source, assert_none, sources};

/// Beginnings of the paths of files that the test does not look at yet.
const NOT_YET: [&str; 0] = [];

#[test]
fn no_two_files_import_each_other() {
    let is_code = |source: &Source| !source.path.ends_with("tests.rs");
    let imports = Imports::of(sources().into_iter().filter(is_code).collect());
    let is_looked_at = |file: &File| !NOT_YET.iter().any(|start| file.starts_with(start));
    assert_none("files that import each other", imports.among(is_looked_at).circles());
}

// ---- The graph ---------------------------------------------------------------------------------

/// The path of a file, such as `src/cli/menu.rs`.
type File = String;

fn path_of(source: &Source) -> File {
    source.path.display().to_string()
}

/// The line that makes an arrow, as `src/cli/menu.rs:7: super::verbs`.
type Reason = String;

/// For each file the files that it imports, each with the first line that does it.
struct Imports(BTreeMap<File, BTreeMap<File, Reason>>);

impl Imports {
    fn of(sources: Vec<Source>) -> Imports {
        let files: BTreeSet<File> = sources.iter().map(path_of).collect();
        let mut imports = BTreeMap::new();
        for source in sources {
            let path = path_of(&source);
            let mut of_file = BTreeMap::new();
            for (line, name) in names(source.code()) {
                let Some(file) = file_of(&name, &path, &files) else { continue };
                if file != path {
                    of_file.entry(file).or_insert(format!("{path}:{line}: {name}"));
                }
            }
            imports.insert(path, of_file);
        }
        Imports(imports)
    }

    /// The imports among some of the files.
    fn among(mut self, is_looked_at: impl Fn(&File) -> bool) -> Imports {
        self.0.retain(|file, _| is_looked_at(file));
        for of_file in self.0.values_mut() {
            of_file.retain(|file, _| is_looked_at(file));
        }
        self
    }

    /// Each circle in words: its files, then a line for each of its arrows.
    fn circles(&self) -> Vec<String> {
        let reachable: BTreeMap<_, _> =
            self.0.keys().map(|file| (file, self.reachable(file))).collect();
        let is_in_circle_of = |file: &File, other: &File| {
            reachable[file].contains(other) && reachable[other].contains(file)
        };
        let circle_of = |file: &File| -> BTreeSet<&File> {
            self.0.keys().filter(|other| is_in_circle_of(file, other)).collect()
        };
        let circles: BTreeSet<_> = self.0.keys().map(circle_of).collect();
        let circles = circles.into_iter().filter(|circle| !circle.is_empty());
        circles.map(|circle| self.in_words(&circle)).collect()
    }

    /// All files that the arrows lead to from this one. In a circle that is the file itself, too.
    fn reachable<'a>(&'a self, from: &'a File) -> BTreeSet<&'a File> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            next.extend(self.0[file].keys().filter(|&to| reached.insert(to)));
        }
        reached
    }

    fn in_words(&self, circle: &BTreeSet<&File>) -> String {
        let files: Vec<_> = circle.iter().map(|file| file.as_str()).collect();
        let mut words = format!("{} files: {}", files.len(), files.join(" "));
        for &file in circle {
            for (_, reason) in self.0[file].iter().filter(|(to, _)| circle.contains(to)) {
                words += &format!("\n    {reason}");
            }
        }
        words
    }
}

/// The file that a name leads to: of `crate::a::b::C` it is `src/a/b.rs`, if there is one, else
/// `src/a.rs`. A name of another crate, or of the file's own, leads to no file.
fn file_of(name: &str, from: &str, files: &BTreeSet<File>) -> Option<File> {
    let own = module_of(from);
    let file_at = |module: &[String]| match module {
        [] => "src/lib.rs".to_string(),
        _ => format!("src/{}.rs", module.join("/")),
    };
    let mut segments = name.split("::").peekable();
    let mut module = match *segments.peek()? {
        "crate" => Vec::new(),
        "self" | "super" => own,
        child => {
            let with_child = [own.as_slice(), &[child.to_string()]].concat();
            files.contains(&file_at(&with_child)).then_some(own)?
        }
    };
    for segment in segments {
        match segment {
            "crate" | "self" => {}
            "super" => drop(module.pop()),
            _ => module.push(segment.to_string()),
        }
    }
    while !files.contains(&file_at(&module)) {
        module.pop()?;
    }
    Some(file_at(&module))
}

/// `src/a/b.rs` is the module `a::b`.
fn module_of(path: &str) -> Vec<String> {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    let is_root = module == "lib" || module == "main";
    if is_root { Vec::new() } else { module.split('/').map(String::from).collect() }
}

// ---- The names in a file -----------------------------------------------------------------------

/// A name, such as `crate::node::Node`, and the number of its line.
type Named = (usize, String);

/// All that a file names: what its `use` lines import, and the paths elsewhere in its code.
fn names(code: &str) -> Vec<Named> {
    let mut names = Vec::new();
    let mut import: Option<Named> = None; // a `use` that goes on in the next line
    for (number, line) in (1..).zip(code.lines()) {
        let line = without_comment(line).trim();
        let (begun, text) = match (import.take(), after_use(line)) {
            (Some((begun, text)), _) => (begun, text + line),
            (None, Some(rest)) => (number, rest.to_string()),
            (None, None) => {
                names.extend(paths(line).map(|path| (number, path)));
                continue;
            }
        };
        match text.strip_suffix(';') {
            Some(tree) => names.extend(leaves(tree).into_iter().map(|leaf| (begun, leaf))),
            None => import = Some((begun, text)),
        }
    }
    names
}

/// A `//` begins a comment, unless it belongs to `http://`.
fn without_comment(line: &str) -> &str {
    let mut slashes = line.match_indices("//").map(|(at, _)| at);
    let comment = slashes.find(|&at| !line[..at].ends_with(':'));
    &line[..comment.unwrap_or(line.len())]
}

/// The rest of a line that begins with `use`, `pub use` or `pub(…) use`.
fn after_use(line: &str) -> Option<&str> {
    let after_pub = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    after_pub.strip_prefix("use ")
}

/// What a `use` imports: `a::{b, c::{self, D as E}}` are `a::b`, `a::c::self` and `a::c::D`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((start, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        return if name.is_empty() { Vec::new() } else { vec![name.to_string()] };
    };
    let group = group.strip_suffix('}').expect("a group ends where it closes");
    let mut depth = 0;
    let is_separator = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    let parts = group.split(is_separator).flat_map(leaves);
    parts.map(|leaf| format!("{start}{leaf}")).collect()
}

/// The paths in a line of code: words with `::` between them.
fn paths(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    words.map(|word| word.trim_matches(':').to_string()).filter(|word| word.contains("::"))
}

// ---- The test can fail -------------------------------------------------------------------------

/// The circles among made-up files.
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let source = |&(path, text): &(&str, &str)| Source { path: path.into(), text: text.into() };
    Imports::of(files.iter().map(source).collect()).circles()
}

#[test]
fn files_in_a_circle_are_found() {
    let files = [
        ("src/lib.rs", "pub mod a;\n"),
        ("src/a.rs", "mod b;\nmod c;\n\nfn f() {\n    b::g();\n}\n"),
        ("src/a/b.rs", "use std::{fmt, io};\nuse crate::{\n    a::{c::{D, E as F}},\n};\n"),
        ("src/a/c.rs", "fn h() -> super::Name {}\n"),
        ("src/d.rs", "pub(crate) use crate::a::b::self;\n"),
        ("src/e.rs", "mod f;\npub use f::X;\n"),
        ("src/e/f.rs", "use super::*;\n"),
    ];
    let of_three = "3 files: src/a.rs src/a/b.rs src/a/c.rs\n    src/a.rs:5: b::g\n    \
                    src/a/b.rs:2: crate::a::c::D\n    src/a/c.rs:1: super::Name";
    let of_two = "2 files: src/e.rs src/e/f.rs\n    src/e.rs:2: f::X\n    src/e/f.rs:1: super::*";
    assert_eq!(circles(&files), [of_three, of_two]);
}

#[test]
fn files_without_a_circle_pass() {
    let files = [
        ("src/a.rs", "//! See [`b::g`].\nmod b; // crate::a::b::g\nmod c;\nstruct Name;\n"),
        (
            "src/a/b.rs",
            "use super::c::D;\nuse super::Name;\nfn g() {\n    self::h(\"http://x\")\n}",
        ),
        ("src/a/c.rs", "use std::a::b;\n\n#[cfg(test)]\nmod tests {\n    use crate::a::b::g;\n}\n"),
    ];
    assert_eq!(circles(&files), Vec::<String>::new());
}
