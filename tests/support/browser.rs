//! A real browser for tests: Chromium without a window, led by chromedriver over WebDriver (W3C),
//! which is plain HTTP and JSON, so the project's own client speaks it.
//!
//! A [`Browser`] starts a chromedriver on a port of its own, and that a Chromium with a new and
//! empty profile. To look at the page a test asks with a script, in one step, for a page that
//! lives may have replaced an element that was found before. What a person does (click, type,
//! press a key) goes through the driver, which does it as a person would: what is hidden or
//! covered cannot be clicked. Both processes end with the value.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use raftlet::http::client;
use raftlet::json::Json;

use super::{PATIENCE, Port, Scratch, wait_for, wait_until};

/// Keys that have no letter, as WebDriver names them (its §17.4.2).
pub const ENTER: &str = "\u{E007}";
pub const ESCAPE: &str = "\u{E00C}";
pub const TAB: &str = "\u{E004}";
pub const SPACE: &str = "\u{E00D}";
pub const DOWN: &str = "\u{E015}";

/// The name under which WebDriver tells which element is meant (its §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Nothing but the page: no window, no updates, no first greeting, no news from outside.
const CHROMIUM_ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
];

/// The programs of a browser.
pub struct Programs {
    chromedriver: PathBuf,
    chromium: PathBuf,
}

impl Programs {
    /// Those that `CHROMEDRIVER` and `CHROMIUM` name, else those in `PATH`; none if one is missing.
    pub fn find() -> Option<Programs> {
        let chromedriver = find_program("CHROMEDRIVER", "chromedriver")?;
        let chromium = find_program("CHROMIUM", "chromium")?;
        Some(Programs { chromedriver, chromium })
    }
}

fn find_program(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a program until stdin ends, then kills it and all that it has started. Stdin ends with the
/// test, even if that is killed. It takes a process group of its own.
const UNTIL_STDIN_ENDS: &str = r#""$@" & cat; kill -9 0"#;

/// A running chromedriver, and with it goes its Chromium.
struct Driver {
    shell: Child,
    port: Port,
}

impl Driver {
    fn start(program: &Path) -> Driver {
        let port = Port::reserve();
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_STDIN_ENDS, "sh"]).arg(program);
        command.arg(format!("--port={}", port.number));
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = Driver { shell: command.spawn().expect("a shell"), port };
        wait_for("chromedriver is ready", || {
            let status = driver.ask("GET", "/status", None).ok()?;
            status.get("ready")?.as_bool()?.then_some(())
        });
        driver
    }

    /// One command of WebDriver: its value, or why it failed.
    fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> Result<Json, String> {
        let address = format!("127.0.0.1:{}", self.port.number);
        let body = body.map(Json::to_string);
        let reply = client::request(method, &address, path, body.as_deref(), PATIENCE);
        let reply = reply.map_err(|error| error.to_string())?;
        let json = Json::parse(&reply.body).map_err(|error| error.to_string())?;
        let value = json.get("value").cloned().ok_or("an answer without a value")?;
        match value.get("message").and_then(Json::as_str) {
            Some(why) if reply.status != 200 => Err(why.to_string()),
            None if reply.status != 200 => Err(value.to_string()),
            _ => Ok(value),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.shell.wait(); // which closes its stdin first
    }
}

/// A browser with one page.
pub struct Browser {
    /// `/session/` and its name.
    session: String,
    driver: Driver,
    _profile: Scratch,
}

impl Browser {
    pub fn start() -> Browser {
        let programs = Programs::find().expect("no test is started without a browser");
        let driver = Driver::start(&programs.chromedriver);
        let profile = Scratch::new();
        let mut arguments = CHROMIUM_ARGUMENTS.map(Json::from).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.0.display()).into());
        let chromium = programs.chromium.display().to_string();
        let options = Json::object([("binary", chromium.into()), ("args", arguments.into())]);
        let wanted = Json::object([
            ("browserName", "chrome".into()),
            ("goog:chromeOptions", options),
            ("goog:loggingPrefs", Json::object([("browser", "ALL".into())])),
        ]);
        let wanted = Json::object([("alwaysMatch", wanted)]);
        let body = Json::object([("capabilities", wanted)]);
        let opened = driver.ask("POST", "/session", Some(&body)).expect("a session");
        let session = opened.get("sessionId").and_then(Json::as_str).expect("its name");
        Browser { session: format!("/session/{session}"), driver, _profile: profile }
    }

    fn ask(&self, method: &str, path: &str, body: Option<Json>) -> Result<Json, String> {
        self.driver.ask(method, &format!("{}{path}", self.session), body.as_ref())
    }

    fn post(&self, path: &str, body: Json) -> Result<Json, String> {
        self.ask("POST", path, Some(body))
    }

    /// Goes to a page, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", Json::object([("url", url.into())])).expect(url);
    }

    /// Runs the body of a function in the page, and gives what it returns.
    pub fn script(&self, body: &str, arguments: &[&str]) -> Json {
        let arguments: Vec<Json> = arguments.iter().map(|&text| text.into()).collect();
        let body_and_arguments =
            Json::object([("script", body.into()), ("args", arguments.into())]);
        let done = self.post("/execute/sync", body_and_arguments);
        done.unwrap_or_else(|why| panic!("{body}: {why}"))
    }

    /// How many elements there are.
    pub fn count(&self, css: &str) -> u64 {
        let count = self.script("return document.querySelectorAll(arguments[0]).length", &[css]);
        count.as_u64().expect("a number")
    }

    pub fn has(&self, css: &str) -> bool {
        self.count(css) > 0
    }

    /// An attribute of the first element; none if there is no such element or attribute.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let body = "return document.querySelector(arguments[0])?.getAttribute(arguments[1])";
        self.script(body, &[css, name]).as_str().map(str::to_string)
    }

    /// The text of the first element as a person sees it; empty if there is none.
    pub fn text(&self, css: &str) -> String {
        let body = "const e = document.querySelector(arguments[0]);
                    return e ? e.innerText ?? e.textContent : ''";
        self.script(body, &[css]).as_str().unwrap_or_default().to_string()
    }

    /// What is in a field of a form.
    pub fn value(&self, css: &str) -> String {
        let body = "return document.querySelector(arguments[0]).value";
        self.script(body, &[css]).as_str().unwrap_or_default().to_string()
    }

    /// Whether a person sees it: it is there, has a size, and nothing hides it.
    pub fn is_visible(&self, css: &str) -> bool {
        let body = "return document.querySelector(arguments[0])?.checkVisibility(
                        {visibilityProperty: true, opacityProperty: true}) ?? false";
        self.script(body, &[css]).as_bool().expect("a truth value")
    }

    /// Clicks in the middle of an element, as soon as it can be clicked.
    pub fn click(&self, css: &str) {
        self.when_possible("click on", css, |element| {
            self.post(&format!("{element}/click"), Json::object([]))
        });
    }

    /// Puts a text in place of what is in a field, letter by letter.
    pub fn fill(&self, css: &str, text: &str) {
        self.when_possible("type into", css, |element| {
            self.post(&format!("{element}/clear"), Json::object([]))?;
            self.post(&format!("{element}/value"), Json::object([("text", text.into())]))
        });
    }

    /// Does something with an element, again and again until it succeeds.
    fn when_possible(
        &self,
        what: &str,
        css: &str,
        act: impl Fn(&str) -> Result<Json, String>,
    ) -> Json {
        let why_not = RefCell::new(String::new());
        let by_css = Json::object([("using", "css selector".into()), ("value", css.into())]);
        let attempt = || {
            let found = self.post("/element", by_css.clone())?;
            let name = found.get(ELEMENT).and_then(Json::as_str).ok_or("no element")?;
            act(&format!("/element/{name}"))
        };
        wait_until(
            || format!("to {what} {css}: {}", why_not.borrow()),
            || attempt().map_err(|why| *why_not.borrow_mut() = why).ok(),
        )
    }

    /// Gives an element the keyboard, as `Tab` does.
    pub fn focus(&self, css: &str) {
        self.script("document.querySelector(arguments[0]).focus()", &[css]);
    }

    /// Whether what has the keyboard is such an element.
    pub fn has_focus(&self, css: &str) -> bool {
        let focused = self.script("return document.activeElement.matches(arguments[0])", &[css]);
        focused.as_bool().expect("a truth value")
    }

    /// Presses keys, one after another, on whatever has the keyboard.
    pub fn press(&self, keys: &str) {
        let press = |key: char| {
            ["keyDown", "keyUp"].map(|what| {
                Json::object([("type", what.into()), ("value", key.to_string().into())])
            })
        };
        let actions: Vec<Json> = keys.chars().flat_map(press).collect();
        let keyboard = Json::object([
            ("type", "key".into()),
            ("id", "keyboard".into()),
            ("actions", actions.into()),
        ]);
        let body = Json::object([("actions", vec![keyboard].into())]);
        self.post("/actions", body).expect("keys can be pressed");
    }

    /// Chooses in a list or moves a slider: what the page hears then is the same.
    pub fn choose(&self, css: &str, value: &str) {
        let body = "const e = document.querySelector(arguments[0]);
                    e.value = arguments[1];
                    e.dispatchEvent(new Event('input', {bubbles: true}));
                    e.dispatchEvent(new Event('change', {bubbles: true}));";
        self.script(body, &[css, value]);
    }

    /// The text of the box that `alert` puts over the page, if there is one.
    pub fn alert(&self) -> Option<String> {
        self.ask("GET", "/alert/text", None).ok()?.as_str().map(str::to_string)
    }

    /// What the console says since it was last asked: who says it (`javascript`, `security`,
    /// `network`…), and what; errors alone.
    pub fn errors(&self) -> Vec<(String, String)> {
        let log = self.post("/se/log", Json::object([("type", "browser".into())]));
        let log = log.expect("a log");
        let lines = log.as_array().expect("lines").iter();
        let text = |line: &Json, name| line.get(name).and_then(Json::as_str).map(str::to_string);
        let severe = lines.filter(|line| text(line, "level").as_deref() == Some("SEVERE"));
        severe.filter_map(|line| Some((text(line, "source")?, text(line, "message")?))).collect()
    }

    /// The size of the page, in CSS pixels.
    pub fn resize(&self, width: u64, height: u64) {
        let metrics = Json::object([
            ("width", width.into()),
            ("height", height.into()),
            ("deviceScaleFactor", 1_u64.into()),
            ("mobile", false.into()),
        ]);
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// As on a computer whose owner likes it dark.
    pub fn prefer_dark(&self) {
        let dark = [("name", "prefers-color-scheme".into()), ("value", "dark".into())];
        let features = vec![Json::object(dark)];
        self.devtools("Emulation.setEmulatedMedia", Json::object([("features", features.into())]));
    }

    fn devtools(&self, command: &str, parameters: Json) {
        let body = Json::object([("cmd", command.into()), ("params", parameters)]);
        self.post("/goog/cdp/execute", body).expect(command);
    }

    /// Writes what a person sees into a PNG file.
    pub fn screenshot(&self, path: &Path) {
        let picture = self.ask("GET", "/screenshot", None).expect("a picture");
        let bytes = from_base64(picture.as_str().expect("it is base64"));
        fs::write(path, bytes).expect("the picture can be written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver would do, but so the profile is no longer written when it is removed.
        let address = format!("127.0.0.1:{}", self.driver.port.number);
        let _ = client::request("DELETE", &address, &self.session, None, Duration::from_secs(5));
    }
}

/// Four letters stand for three bytes (RFC 4648, §4).
fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for &letter in four {
            let six = LETTERS.find(char::from(letter)).expect("a letter of base64");
            bits = bits << 6 | six as u32;
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
