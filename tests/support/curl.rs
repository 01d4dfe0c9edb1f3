//! Reads `curl` command lines as documents have them, and asks what they ask. It knows the few
//! options that ours use; any other is an error, so that no example is run as something else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::PATIENCE;

/// How often a request may be sent on.
const MAX_REDIRECTS: usize = 5;

/// What one command line asks for.
#[derive(Debug, Default)]
pub struct Curl {
    pub method: String,
    /// `host:port`.
    pub address: String,
    /// With what follows after `?`.
    pub target: String,
    headers: Vec<String>,
    data: Option<String>,
    shows_head: bool,
    follows: bool,
    /// `-N`: the answer is to be read as it comes, and may have no end.
    pub streams: bool,
}

impl Curl {
    /// Reads a command line.
    pub fn parse(command: &str) -> Result<Curl, String> {
        let words = words(command).ok_or("a quote is not closed")?;
        let mut words = words.into_iter();
        if words.next().as_deref() != Some("curl") {
            return Err("this is no curl".to_string());
        }
        let (mut curl, mut method, mut url) = (Curl::default(), None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "-s" => {}
                "-i" => curl.shows_head = true,
                "-I" => (curl.shows_head, method) = (true, Some("HEAD".to_string())),
                "-L" => curl.follows = true,
                "-N" => curl.streams = true,
                "-X" => method = Some(value()?),
                "-H" => curl.headers.push(value()?),
                "-d" => curl.data = Some(value()?),
                _ if word.starts_with('-') => return Err(format!("{word} is not known here")),
                _ if url.is_some() => return Err(format!("{word} is a second address")),
                _ => url = Some(word),
            }
        }
        let default = if curl.data.is_some() { "POST" } else { "GET" };
        curl.method = method.unwrap_or(default.to_string());
        curl.go_to(&url.ok_or("there is no address")?);
        Ok(curl)
    }

    fn go_to(&mut self, url: &str) {
        let url = url.strip_prefix("http://").unwrap_or(url);
        let (address, path) = url.split_once('/').unwrap_or((url, ""));
        (self.address, self.target) = (address.to_string(), format!("/{path}"));
    }

    /// What the command prints.
    pub fn output(mut self) -> String {
        for _ in 0..=MAX_REDIRECTS {
            let (head, mut reader) = self.ask();
            let location = head.iter().find_map(|line| line.strip_prefix("Location: "));
            if let (true, Some(location)) = (self.follows, location) {
                self.go_to(location);
                continue;
            }
            let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.and_then(|length| length.parse().ok());
            let mut body = vec![0; length.filter(|_| self.method != "HEAD").unwrap_or(0)];
            reader.read_exact(&mut body).expect("the body is as long as its head says");
            let body = String::from_utf8(body).expect("answers are UTF-8");
            return if self.shows_head { head.join("\n") + "\n\n" + &body } else { body };
        }
        panic!("sent on for ever: {self:?}");
    }

    /// What an endless answer prints, line by line.
    pub fn lines(&self) -> impl Iterator<Item = String> + use<> {
        self.ask().1.lines().map_while(Result::ok)
    }

    /// Sends the request. The head of the answer, and what comes behind it.
    fn ask(&self) -> (Vec<String>, BufReader<TcpStream>) {
        let Curl { method, address, target, .. } = self;
        let mut request = format!("{method} {target} HTTP/1.1\r\n");
        if !self.headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {address}\r\n");
        }
        self.headers.iter().for_each(|header| request += &format!("{header}\r\n"));
        if let Some(data) = &self.data {
            let length = data.len();
            request += "Content-Type: application/x-www-form-urlencoded\r\n";
            request += &format!("Content-Length: {length}\r\n\r\n{data}");
        } else {
            request += "\r\n";
        }
        let mut stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        stream.write_all(request.as_bytes()).expect("the node reads");
        let mut reader = BufReader::new(stream);
        let head = reader.by_ref().lines().map(|line| line.expect("a head in time"));
        (head.take_while(|line| !line.is_empty()).collect(), reader)
    }
}

/// The words of a command as a shell sees them; none if a quote is still open at the end, or the
/// last line goes on. Within quotes nothing has a meaning.
pub fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => match chars.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_none() { Some(words) } else { None }
}
