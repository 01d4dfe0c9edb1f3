//! The part of TOML 1.0 (<https://toml.io>) that a registry needs: text in, tables out.
//!
//! The reader walks once through the text and keeps two things, what is left to read and the line
//! it is on. It knows comments, `[tables]`, bare and quoted names, strings on one line, integers,
//! booleans and arrays. Whatever else TOML has is refused by its name and never misread. What the
//! tables mean is not known here: `config.rs` asks for what it wants.

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the text, from 1.
    pub line: usize,
    /// One line for people: the thing, and what to do about it.
    pub problem: String,
}

/// A `[name]` and what is set below it.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// The line of the `[name]`.
    pub line: usize,
    /// The name between the brackets.
    pub name: String,
    /// The settings in the order of the file, no name twice.
    pub settings: Vec<Setting>,
}

/// One `name = value`.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, without quotes.
    pub name: String,
    /// The value. Its line is the name's as well, for TOML wants both on one.
    pub value: Value,
}

/// A value, and the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Value {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub data: Data,
}

impl Value {
    /// An error on this value's line.
    pub fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { line: self.line, problem: problem.into() }
    }
}

/// What a value can be.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// Text, its escapes resolved.
    String(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// Values in brackets.
    Array(Vec<Value>),
}

/// Arrays in arrays go this deep and no deeper: each level is a call on the stack.
const MAX_ARRAY_DEPTH: usize = 8;

/// Reads all tables of a text, in its order; no name stands twice. Errors are syntax that is
/// wrong, or that this reader does not support.
pub fn read(text: &str) -> Result<Vec<Table>, Fault> {
    // Some editors begin a file with a byte order mark, which is no part of the text.
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut tables = Vec::new();
    reader.skip_to_content()?;
    while let Some(first) = reader.peek() {
        if first == '[' {
            let table = reader.header()?;
            add_table(&mut tables, table)?;
        } else {
            let setting = reader.setting()?;
            add_setting(tables.last_mut(), setting)?;
        }
        reader.end_line()?;
        reader.skip_to_content()?;
    }
    Ok(tables)
}

fn add_table(tables: &mut Vec<Table>, table: Table) -> Result<(), Fault> {
    if let Some(first) = tables.iter().find(|other| other.name == table.name) {
        let (name, first_line) = (shown(&table.name), first.line);
        let problem =
            format!("the table [{name}] stands twice, first on line {first_line}: merge the two");
        return Err(Fault { line: table.line, problem });
    }
    tables.push(table);
    Ok(())
}

fn add_setting(table: Option<&mut Table>, setting: Setting) -> Result<(), Fault> {
    let name = shown(&setting.name);
    let Some(table) = table else {
        let problem = format!("`{name}` stands outside any table: move it below its [table]");
        return Err(setting.value.fault(problem));
    };
    if let Some(first) = table.settings.iter().find(|other| other.name == setting.name) {
        let first_line = first.value.line;
        return Err(setting.value.fault(format!(
            "`{name}` is set twice, first on line {first_line}: remove one of the two"
        )));
    }
    table.settings.push(setting);
    Ok(())
}

/// A place in the text.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// `[name]`
    fn header(&mut self) -> Result<Table, Fault> {
        let line = self.line;
        if self.rest.starts_with("[[") {
            return Err(self.fault("arrays of tables, [[…]], are not supported: write a [table]"));
        }
        self.take();
        self.skip_blanks();
        let name = self.name()?;
        self.take_sign(']', &name)?;
        Ok(Table { line, name, settings: Vec::new() })
    }

    /// `name = value`
    fn setting(&mut self) -> Result<Setting, Fault> {
        let name = self.name()?;
        self.take_sign('=', &name)?;
        self.skip_blanks();
        let value = self.value(0)?;
        Ok(Setting { name, value })
    }

    /// The name of a table or a setting, bare or in quotes, and the blanks after it.
    fn name(&mut self) -> Result<String, Fault> {
        let name = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.string(quote)?,
            _ => self.bare_name()?,
        };
        self.skip_blanks();
        if self.rest.starts_with('.') {
            let name = shown(&name);
            return Err(self.fault(format!(
                "a dot after `{name}`: dotted names are not supported, \
                 write the [table] and its settings on lines of their own"
            )));
        }
        Ok(name)
    }

    fn bare_name(&mut self) -> Result<String, Fault> {
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = self.take_until(|c| !in_name(c));
        if name.is_empty() {
            let found = self.found();
            return Err(self.fault(format!("a name must stand here, not {found}")));
        }
        Ok(name.to_string())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        let line = self.line;
        let data = match self.peek() {
            Some(quote @ ('"' | '\'')) => Data::String(self.string(quote)?),
            Some('[') => Data::Array(self.array(depth + 1)?),
            Some('{') => {
                return Err(self.fault("inline tables, { … }, are not supported: write a [table]"));
            }
            _ => {
                let word = self.take_until(|c| " \t\r\n,]#".contains(c));
                number_or_boolean(word).map_err(|problem| Fault { line, problem })?
            }
        };
        Ok(Value { line, data })
    }

    /// `[value, value]`, over as many lines as it likes; the last comma may stand or not.
    fn array(&mut self, depth: usize) -> Result<Vec<Value>, Fault> {
        if depth > MAX_ARRAY_DEPTH {
            let problem = format!("arrays more than {MAX_ARRAY_DEPTH} deep are not supported");
            return Err(self.fault(problem));
        }
        let first_line = self.line;
        let mut values = Vec::new();
        self.take();
        loop {
            self.skip_to_content()?;
            match self.peek() {
                Some(']') => break,
                None => {
                    let problem = "the array that begins here has no end: add a `]`".into();
                    return Err(Fault { line: first_line, problem });
                }
                Some(_) => values.push(self.value(depth)?),
            }
            let line = self.line;
            self.skip_to_content()?;
            if self.peek() == Some(',') {
                self.take();
            } else if self.peek() != Some(']') {
                let problem = "after a value of an array a `,` or `]` must follow".into();
                return Err(Fault { line, problem });
            }
        }
        self.take();
        Ok(values)
    }

    /// A string on one line: "basic", where `\` begins an escape, or 'literal', where it does not.
    fn string(&mut self, quote: char) -> Result<String, Fault> {
        if self.rest.starts_with("\"\"\"") || self.rest.starts_with("'''") {
            return Err(self.fault("multi-line strings are not supported: write one line, \"…\""));
        }
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') if quote == '"' => text.push(self.escape()?),
                None | Some('\r' | '\n') => {
                    let problem =
                        format!("a string has no end on its line: add the closing {quote}");
                    return Err(self.fault(problem));
                }
                Some(c) => {
                    self.refuse_control(c)?;
                    text.push(c);
                }
            }
        }
    }

    /// What stands after a `\`.
    fn escape(&mut self) -> Result<char, Fault> {
        match self.take() {
            Some('b') => Ok('\u{8}'),
            Some('t') => Ok('\t'),
            Some('n') => Ok('\n'),
            Some('f') => Ok('\u{c}'),
            Some('r') => Ok('\r'),
            Some(c @ ('"' | '\\')) => Ok(c),
            Some('u') => self.code_point(4),
            Some('U') => self.code_point(8),
            other => {
                let found = other.map_or(String::new(), |c| shown(&c.to_string()));
                Err(self.fault(format!(
                    "`\\{found}` is no escape of TOML: write `\\\\` for a backslash, \
                     or the string in single quotes"
                )))
            }
        }
    }

    /// The character that an escape names by its number, `\u00e9` or `\U0001f980`.
    fn code_point(&mut self, digits: usize) -> Result<char, Fault> {
        let mut number = 0;
        for _ in 0..digits {
            let Some(digit) = self.take().and_then(|c| c.to_digit(16)) else {
                let problem = format!("an escape needs {digits} hexadecimal digits after its `u`");
                return Err(self.fault(problem));
            };
            number = number * 16 + digit;
        }
        char::from_u32(number)
            .ok_or_else(|| self.fault(format!("U+{number:04X} is not a character of Unicode")))
    }

    /// The end of a line that has said something.
    fn end_line(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        self.skip_comment()?;
        if self.rest.is_empty() || self.take_newline() {
            return Ok(());
        }
        let found = self.found();
        Err(self.fault(format!("the line must end before {found}: one setting a line")))
    }

    /// Passes over blanks, comments and line ends.
    fn skip_to_content(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_blanks();
            self.skip_comment()?;
            if !self.take_newline() {
                return Ok(());
            }
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_comment(&mut self) -> Result<(), Fault> {
        if !self.rest.starts_with('#') {
            return Ok(());
        }
        while let Some(c) = self.peek()
            && !self.at_newline()
        {
            self.refuse_control(c)?;
            self.take();
        }
        Ok(())
    }

    /// LF or CR LF; a CR alone ends no line.
    fn at_newline(&self) -> bool {
        self.rest.starts_with('\n') || self.rest.starts_with("\r\n")
    }

    fn take_newline(&mut self) -> bool {
        if !self.at_newline() {
            return false;
        }
        while self.take() != Some('\n') {}
        self.line += 1;
        true
    }

    /// The sign that must follow a name.
    fn take_sign(&mut self, sign: char, name: &str) -> Result<(), Fault> {
        if self.peek() != Some(sign) {
            let (name, found) = (shown(name), self.found());
            return Err(self.fault(format!("`{sign}` must follow `{name}`, not {found}")));
        }
        self.take();
        Ok(())
    }

    fn take_until(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// The next character, for an error.
    fn found(&self) -> String {
        match self.peek() {
            Some(c) if !self.at_newline() => format!("`{}`", shown(&c.to_string())),
            _ => "the end of the line".to_string(),
        }
    }

    fn refuse_control(&self, c: char) -> Result<(), Fault> {
        if c.is_ascii_control() && c != '\t' {
            let problem = format!("control character U+{:04X}: remove it", u32::from(c));
            return Err(self.fault(problem));
        }
        Ok(())
    }

    fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { line: self.line, problem: problem.into() }
    }
}

/// A value that is neither quoted nor in brackets.
fn number_or_boolean(word: &str) -> Result<Data, String> {
    let found = shown(word);
    match word {
        "" => {
            Err("a value is missing: write \"text\", an integer, true, false or an [array]".into())
        }
        "true" => Ok(Data::Boolean(true)),
        "false" => Ok(Data::Boolean(false)),
        _ if is_integer(word) => integer(word).map(Data::Integer),
        _ if is_date_or_time(word) => Err(format!("`{found}`: dates and times are not supported")),
        _ if is_float(word) => {
            Err(format!("`{found}`: floats are not supported, write an integer"))
        }
        _ => Err(format!("`{found}` is no value of TOML: text stands in straight quotes, \"…\"")),
    }
}

/// Has the word the form of an integer: digits, with single underscores between them?
fn is_integer(word: &str) -> bool {
    let (digits, base) = digits_and_base(word);
    digits.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_digit(base)))
}

/// The digits of a number without sign or prefix, and their base. Only base ten has a sign.
fn digits_and_base(word: &str) -> (&str, u32) {
    match word.get(..2) {
        Some("0x") => (&word[2..], 16),
        Some("0o") => (&word[2..], 8),
        Some("0b") => (&word[2..], 2),
        _ => (word.strip_prefix(['+', '-']).unwrap_or(word), 10),
    }
}

fn integer(word: &str) -> Result<i64, String> {
    let (digits, base) = digits_and_base(word);
    if base == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(format!("`{}`: an integer has no zero in front, remove it", shown(word)));
    }
    let signed = if base == 10 { word } else { digits };
    i64::from_str_radix(&signed.replace('_', ""), base)
        .map_err(|_| format!("`{}` is out of range: an integer has 64 bits", shown(word)))
}

fn is_date_or_time(word: &str) -> bool {
    let shape: String =
        word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(10).collect();
    shape == "0000-00-00" || shape.starts_with("00:00")
}

fn is_float(word: &str) -> bool {
    // A point, an exponent, `inf` or `nan`: digits alone are no float.
    word.contains(['.', 'e', 'E', 'n']) && word.replace('_', "").parse::<f64>().is_ok()
}

/// Text from the file, fit for an error of one line: nothing unprintable, and not too long.
pub fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let start: String = text.chars().take(MAX_CHARS).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `x = …`.
    fn value(text: &str) -> Data {
        let mut tables = read(&format!("[t]\nx = {text}\n")).expect(text);
        tables.remove(0).settings.remove(0).value.data
    }

    fn string(text: &str) -> Data {
        Data::String(text.to_string())
    }

    /// Asserts that each text is refused on this line for this reason.
    fn assert_refused(cases: &[(&str, usize, &str)]) {
        for &(text, line, problem) in cases {
            let expected = Fault { line, problem: problem.to_string() };
            assert_eq!(read(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn read_numbers_and_booleans() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("+99", 99),
            ("-17", -17),
            ("1_000", 1000),
            ("9223372036854775807", i64::MAX),
            ("-9_223_372_036_854_775_808", i64::MIN),
            ("0xDEAD_beef", 0xDEAD_BEEF),
            ("0o0755", 0o755),
            ("0b1101", 0b1101),
        ];
        for (text, number) in cases {
            assert_eq!(value(text), Data::Integer(number), "{text}");
        }
        assert_eq!(value("true"), Data::Boolean(true));
        assert_eq!(value("false# comment"), Data::Boolean(false));
    }

    #[test]
    fn read_strings() {
        assert_eq!(value(r#""""#), string(""));
        assert_eq!(value(r#""a # b \b\t\n\f\r\"\\""#), string("a # b \u{8}\t\n\u{c}\r\"\\"));
        assert_eq!(value(r#""\u00e9\U0001F980""#), string("é🦀"));
        assert_eq!(value(r#"'C:\new "\u00e9"'"#), string(r#"C:\new "\u00e9""#));
    }

    #[test]
    fn read_arrays_with_the_line_of_each_value() {
        let text = "[t]\nx = [ # first\n  1,\n  [], [true, 'a'\n  ,],\n]";
        let at = |line, data| Value { line, data };
        let inner = vec![at(4, Data::Boolean(true)), at(4, string("a"))];
        let x =
            vec![at(3, Data::Integer(1)), at(4, Data::Array(vec![])), at(4, Data::Array(inner))];
        let setting = Setting { name: "x".to_string(), value: at(2, Data::Array(x)) };
        let table = Table { line: 1, name: "t".to_string(), settings: vec![setting] };
        assert_eq!(read(text), Ok(vec![table]));
    }

    #[test]
    fn read_names_bare_and_quoted_windows_line_ends_and_byte_order_mark() {
        let text = "\u{feff}# one\r\n\r\n[ 'a b' ] # two\r\n\t1-_x=1\r\n\"\\u0061\" = 2\r\n[b]";
        let tables = read(text).expect("this is TOML");
        let names: Vec<_> = tables.iter().map(|table| (table.line, &*table.name)).collect();
        assert_eq!(names, [(3, "a b"), (6, "b")]);
        let settings = &tables[0].settings;
        let names: Vec<_> = settings.iter().map(|s| (s.value.line, &*s.name)).collect();
        assert_eq!(names, [(4, "1-_x"), (5, "a")]);
    }

    #[test]
    fn read_refuses_what_is_not_supported_by_its_name() {
        assert_refused(&[
            ("[t]\nx = 1.5", 2, "`1.5`: floats are not supported, write an integer"),
            ("[t]\nx = 1_0.5", 2, "`1_0.5`: floats are not supported, write an integer"),
            ("[t]\nx = -1e3", 2, "`-1e3`: floats are not supported, write an integer"),
            ("[t]\nx = +inf", 2, "`+inf`: floats are not supported, write an integer"),
            ("[t]\nx = 2026-01-31", 2, "`2026-01-31`: dates and times are not supported"),
            (
                "[t]\nx = 2026-01-31T00:00:00Z",
                2,
                "`2026-01-31T00:00:00Z`: dates and times are not supported",
            ),
            ("[t]\nx = 07:32:00", 2, "`07:32:00`: dates and times are not supported"),
            (
                "[t]\nx = \"\"\"a\nb\"\"\"",
                2,
                "multi-line strings are not supported: write one line, \"…\"",
            ),
            ("[t]\nx = '''a'''", 2, "multi-line strings are not supported: write one line, \"…\""),
            ("[t]\nx = {a = 1}", 2, "inline tables, { … }, are not supported: write a [table]"),
            ("\n[[t]]", 2, "arrays of tables, [[…]], are not supported: write a [table]"),
            (
                "[t]\na . b = 1",
                2,
                "a dot after `a`: dotted names are not supported, \
                 write the [table] and its settings on lines of their own",
            ),
            (
                "[\"a\".b]",
                1,
                "a dot after `a`: dotted names are not supported, \
                 write the [table] and its settings on lines of their own",
            ),
            ("[t]\nx = [[[[[[[[[1]]]]]]]]]", 2, "arrays more than 8 deep are not supported"),
        ]);
        read("[t]\nx = [[[[[[[[1]]]]]]]]").expect("8 deep is not too deep");
    }

    #[test]
    fn read_refuses_what_stands_twice_or_nowhere() {
        assert_refused(&[
            ("[t]\n[u]\n['t']", 3, "the table [t] stands twice, first on line 1: merge the two"),
            (
                "[t]\nx = 1\ny = 2\n\"x\" = 3",
                4,
                "`x` is set twice, first on line 2: remove one of the two",
            ),
            ("x = 1\n[t]", 1, "`x` stands outside any table: move it below its [table]"),
        ]);
        read("[t]\nx = 1\n[u]\nx = 1").expect("two tables may have the same key");
    }

    #[test]
    fn read_refuses_broken_lines() {
        let array = "after a value of an array a `,` or `]` must follow";
        let missing = "a value is missing: write \"text\", an integer, true, false or an [array]";
        assert_refused(&[
            ("[t", 1, "`]` must follow `t`, not the end of the line"),
            ("[t\r\n]", 1, "`]` must follow `t`, not the end of the line"),
            ("[]", 1, "a name must stand here, not `]`"),
            ("[t] x = 1", 1, "the line must end before `x`: one setting a line"),
            ("[t]\nx: 1", 2, "`=` must follow `x`, not `:`"),
            ("[t]\nx", 2, "`=` must follow `x`, not the end of the line"),
            ("[t]\n= 1", 2, "a name must stand here, not `=`"),
            ("[t]\né = 1", 2, "a name must stand here, not `é`"),
            ("[t]\nx =\n1", 2, missing),
            ("[t]\nx = # 1", 2, missing),
            ("[t]\nx = [1,\n,2]", 3, missing),
            ("[t]\nx = 1 2", 2, "the line must end before `2`: one setting a line"),
            ("[t]\nx = 1\ry = 2", 2, "the line must end before `\\r`: one setting a line"),
            ("[t]\nx = [1\n\n[u]", 2, array),
            ("[t]\nx = [1 2]", 2, array),
            ("[t]\n\nx = [1,\n\n", 3, "the array that begins here has no end: add a `]`"),
            ("[t]\nx = [1\n\n", 2, array),
        ]);
    }

    #[test]
    fn read_refuses_broken_values() {
        let no_end = "a string has no end on its line: add the closing \"";
        let digits = "an escape needs 4 hexadecimal digits after its `u`";
        let quotes = "no value of TOML: text stands in straight quotes, \"…\"";
        assert_refused(&[
            ("[t]\nx = tcp", 2, &format!("`tcp` is {quotes}")),
            ("[t]\nx = “tcp”", 2, &format!("`“tcp”` is {quotes}")),
            ("[t]\nx = True", 2, &format!("`True` is {quotes}")),
            ("[t]\nx = 127.0.0.1:5001", 2, &format!("`127.0.0.1:5001` is {quotes}")),
            ("[t]\nx = 1__0", 2, &format!("`1__0` is {quotes}")),
            ("[t]\nx = 1_", 2, &format!("`1_` is {quotes}")),
            ("[t]\nx = 0x", 2, &format!("`0x` is {quotes}")),
            ("[t]\nx = 0x-1", 2, &format!("`0x-1` is {quotes}")),
            ("[t]\nx = +0x1", 2, &format!("`+0x1` is {quotes}")),
            ("[t]\nx = 007", 2, "`007`: an integer has no zero in front, remove it"),
            (
                "[t]\nx = 9223372036854775808",
                2,
                "`9223372036854775808` is out of range: an integer has 64 bits",
            ),
            (
                "[t]\nx = 0x8000000000000000",
                2,
                "`0x8000000000000000` is out of range: an integer has 64 bits",
            ),
            ("[t]\nx = \"tcp", 2, no_end),
            ("[t]\nx = \"tcp\ny = \"", 2, no_end),
            ("[t]\nx = 'tcp", 2, "a string has no end on its line: add the closing '"),
            (
                "[t]\nx = \"C:\\dir\"",
                2,
                "`\\d` is no escape of TOML: write `\\\\` for a backslash, \
                 or the string in single quotes",
            ),
            ("[t]\nx = \"\\u00g0\"", 2, digits),
            ("[t]\nx = \"\\ud800\"", 2, "U+D800 is not a character of Unicode"),
            ("[t]\nx = \"a\u{0}\"", 2, "control character U+0000: remove it"),
            ("[t]\nx = 'a\u{7f}'", 2, "control character U+007F: remove it"),
            ("[t]\nx = 1 # a\rb", 2, "control character U+000D: remove it"),
            ("[t]\nx = 1 # a\r", 2, "control character U+000D: remove it"),
        ]);
    }
}
