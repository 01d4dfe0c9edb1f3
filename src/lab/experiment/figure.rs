//! Figure 16 drawn: two charts of cumulative curves, as an SVG file that needs nothing else.
//!
//! A curve tells, for each time without a leader, in how many of a hundred trials it was over by
//! then. The upper chart varies how random the timeouts are; its time axis is logarithmic. The
//! lower one scales the timeouts. Curves differ by their dashes, so the figure can be printed in
//! black; a small ring on the line of 50 % marks the paper's median.

use std::fmt::Write;

use crate::lab::experiment::election_timeout::Row;
use crate::lab::experiment::times::Times;

/// What was measured of one row.
pub type Curve<'a> = (&'a Row, &'a Times);

const WIDTH: f64 = 800.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 640.0;
const CHART_HEIGHT: f64 = 300.0;
const TOPS: [f64; 2] = [70.0, 470.0];
const CAPTION: f64 = 860.0;
const LINE_HEIGHT: f64 = 18.0;

/// As many points as a curve needs on this much paper.
const POINTS: usize = 250;

/// Dashes and colour.
type Style = (&'static str, &'static str);

type Styled<'a> = (Curve<'a>, Style);

/// How curves are drawn. Those of one chart are never so many that a style comes again.
const STYLES: [Style; 6] = [
    ("none", "#000000"),
    ("9 4", "#a50026"),
    ("2 3", "#08519c"),
    ("12 3 2 3", "#1b6837"),
    ("5 3", "#6a3d9a"),
    ("12 3 2 3 2 3", "#8c510a"),
];

/// A time axis, in milliseconds.
struct Axis {
    least: f64,
    greatest: f64,
    is_logarithmic: bool,
    ticks: &'static [f64],
}

const LOGARITHMIC: Axis = Axis {
    least: 100.0,
    greatest: 100_000.0,
    is_logarithmic: true,
    ticks: &[100.0, 1000.0, 10_000.0, 100_000.0],
};

const LINEAR: Axis = Axis {
    least: 0.0,
    greatest: 600.0,
    is_logarithmic: false,
    ticks: &[0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0],
};

impl Axis {
    /// Where a time is; what is off the axis is at its end.
    fn x(&self, time_ms: f64) -> f64 {
        let time = time_ms.clamp(self.least, self.greatest);
        let part = match self.is_logarithmic {
            true => (time / self.least).ln() / (self.greatest / self.least).ln(),
            false => (time - self.least) / (self.greatest - self.least),
        };
        LEFT + part * (RIGHT - LEFT)
    }
}

/// The figure, with a caption below.
pub fn svg(curves: &[Curve], caption: &str) -> String {
    let height = CAPTION + LINE_HEIGHT * (caption.lines().count() + 1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Time without a leader after a crash (Figure 16)</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 30.0, "start", "Time without a leader after a crash (Figure 16)");
    let styled = curves.iter().copied().zip(STYLES.into_iter().cycle());
    // As in the paper, the widest range of the upper chart is also the slowest of the lower one.
    let slow = styled.clone().filter(|((row, _), _)| row.timeout_ms.0 == 150).collect::<Vec<_>>();
    let mut doubled: Vec<Styled> =
        styled.filter(|((row, _), _)| row.timeout_ms.1 == 2 * row.timeout_ms.0).collect();
    doubled.rotate_left(1); // the slowest of these, of 150 ms, stands first
    chart(&mut svg, TOPS[0], "more or less random timeouts", &LOGARITHMIC, &slow);
    chart(&mut svg, TOPS[1], "shorter and longer timeouts", &LINEAR, &doubled);
    for (number, line) in caption.lines().enumerate() {
        text(&mut svg, LEFT, CAPTION + LINE_HEIGHT * number as f64, "start", line);
    }
    svg + "</svg>\n"
}

/// A page with the figure, and below it the text of the table.
pub fn html(svg: &str, text: &str) -> String {
    let text = escaped(text);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"/>\
         <title>Figure 16</title></head>\n<body>\n{svg}<pre>\n{text}</pre>\n</body>\n</html>\n"
    )
}

fn chart(svg: &mut String, top: f64, title: &str, axis: &Axis, curves: &[Styled]) {
    text(svg, (LEFT + RIGHT) / 2.0, top - 10.0, "middle", title);
    grid(svg, top, axis);
    for &((row, times), style) in curves {
        curve(svg, top, axis, times, style);
        if row.paper.median.is_finite() {
            let (x, y, colour) = (axis.x(row.paper.median), y(top, 0.5), style.1);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"white\" stroke=\"{colour}\"/>"
            );
        }
    }
    legend(svg, top, curves);
}

/// How high a part of all trials is.
fn y(top: f64, part: f64) -> f64 {
    top + CHART_HEIGHT * (1.0 - part)
}

fn grid(svg: &mut String, top: f64, axis: &Axis) {
    for percent in [0, 20, 40, 60, 80, 100] {
        let y = y(top, f64::from(percent) / 100.0);
        line(svg, (LEFT, y), (RIGHT, y), "stroke=\"#cccccc\"");
        text(svg, LEFT - 8.0, y + 4.0, "end", &format!("{percent} %"));
    }
    for &tick in axis.ticks {
        let x = axis.x(tick);
        line(svg, (x, top), (x, top + CHART_HEIGHT), "stroke=\"#cccccc\"");
        text(svg, x, top + CHART_HEIGHT + 18.0, "middle", &format!("{tick}"));
    }
    let below = top + CHART_HEIGHT + 38.0;
    text(svg, (LEFT + RIGHT) / 2.0, below, "middle", "time without leader (ms)");
    let (x, y) = (LEFT - 58.0, top + CHART_HEIGHT / 2.0);
    let _ = writeln!(
        svg,
        "<text transform=\"translate({x} {y}) rotate(-90)\" text-anchor=\"middle\">cumulative \
         percent</text>"
    );
}

/// From the shortest time to the longest; at the height where it ends, on to the right edge if
/// some trials gave up.
fn curve(svg: &mut String, top: f64, axis: &Axis, times: &Times, style: Style) {
    let all = times.sorted();
    let ended: Vec<f64> = all.iter().copied().filter(|time| time.is_finite()).collect();
    let part = |count: usize| y(top, count as f64 / all.len() as f64);
    let start = ended.first().copied().unwrap_or(axis.least);
    let mut path = format!("M{:.1} {:.1}", axis.x(start), part(0));
    let every = ended.len().div_ceil(POINTS).max(1);
    for (index, &time) in ended.iter().enumerate() {
        let count = index + 1;
        if count % every == 0 || count == ended.len() {
            let _ = write!(path, "L{:.1} {:.1}", axis.x(time), part(count));
        }
    }
    if ended.len() < all.len() {
        let _ = write!(path, "L{:.1} {:.1}", axis.x(axis.greatest), part(ended.len()));
    }
    let (dashes, colour) = style;
    let _ = writeln!(
        svg,
        "<path class=\"curve\" d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dashes}\"/>"
    );
}

fn legend(svg: &mut String, top: f64, curves: &[Styled]) {
    let (left, mut y) = (RIGHT + 20.0, top + 12.0);
    for ((row, _), (dashes, colour)) in curves {
        let look = format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"");
        line(svg, (left, y), (left + 42.0, y), &look);
        text(svg, left + 50.0, y + 4.0, "start", &format!("{} ms", row.name()));
        y += 22.0;
    }
    let ring = left + 21.0;
    let _ =
        writeln!(svg, "<circle cx=\"{ring}\" cy=\"{y}\" r=\"4\" fill=\"white\" stroke=\"black\"/>");
    text(svg, left + 50.0, y + 4.0, "start", "paper, median");
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), look: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ =
        writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {look}/>");
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escaped(words);
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::experiment::election_timeout::ROWS;

    fn drawn() -> String {
        let times = Times::new([90.0, 200.0, 5000.0, f64::INFINITY].into_iter());
        let curves: Vec<Curve> = ROWS.iter().map(|row| (row, &times)).collect();
        svg(&curves, "what < this & that\nmeans")
    }

    #[test]
    fn svg_is_well_formed() {
        let svg = drawn();
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends before the next begins");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            assert_eq!(
                text.matches('&').count(),
                text.matches("&amp;").count() + text.matches("&lt;").count()
            );
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn svg_has_a_curve_for_each_row_of_both_charts() {
        let svg = drawn();
        let paths = svg.lines().filter(|line| line.starts_with("<path class=\"curve\""));
        assert_eq!(paths.clone().count(), 6 + 5, "150–300 is in both");
        for dashes in STYLES.map(|(dashes, _)| format!("stroke-dasharray=\"{dashes}\"")) {
            let of_style = paths.clone().filter(|path| path.contains(&dashes)).count();
            assert!((1..=2).contains(&of_style), "{dashes}: {of_style}");
        }
        for row in &ROWS {
            assert!(svg.contains(&format!(">{} ms<", row.name())), "{}", row.name());
        }
    }

    #[test]
    fn curve_rises_to_what_was_elected_and_runs_on_to_the_edge() {
        let mut svg = String::new();
        let times = Times::new([90.0, 1000.0, 100_000.0, f64::INFINITY].into_iter());
        curve(&mut svg, 0.0, &LOGARITHMIC, &times, STYLES[0]);
        // A third of the axis for each power of ten; what is shorter than 100 ms is at its edge.
        let third = (RIGHT - LEFT) / 3.0;
        let x = [LEFT, LEFT, LEFT + third, RIGHT, RIGHT].map(|x| format!("{x:.1}"));
        let path =
            format!("M{} 300.0L{} 225.0L{} 150.0L{} 75.0L{} 75.0", x[0], x[1], x[2], x[3], x[4]);
        assert!(svg.contains(&path), "{svg}");
    }
}
