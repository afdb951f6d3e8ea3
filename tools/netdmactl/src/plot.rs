//! The picture of a measurement: speed by size, both axes logarithmic, the break-even marked. Plain SVG.

use std::fmt::Write as _;

use crate::bench::{Point, break_even};
use crate::table;

/// Size of the picture, and of the plot in it, in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 360.0;

/// Colours that people with any colour vision tell apart; the lines also differ in their dashes.
const ENGINE: &str = "#0072b2";
const PROCESSOR: &str = "#d55e00";

/// From values to pixels.
struct Scale {
    sizes: (f64, f64),
    speeds: (f64, f64),
}

impl Scale {
    fn of(points: &[Point]) -> Self {
        let mut sizes = (f64::MAX, f64::MIN);
        let mut speeds = (f64::MAX, f64::MIN);
        for point in points {
            let size = f64::from(point.size).log2();
            sizes = (sizes.0.min(size), sizes.1.max(size));
            for speed in [point.engine_speed(), point.processor_speed()] {
                speeds = (speeds.0.min(speed.log10()), speeds.1.max(speed.log10()));
            }
        }
        Self { sizes, speeds: (speeds.0.floor(), speeds.1.ceil()) }
    }

    fn x(&self, size: u32) -> f64 {
        let (low, high) = self.sizes;
        LEFT + (f64::from(size).log2() - low) / (high - low).max(1e-9) * (RIGHT - LEFT)
    }

    fn y(&self, speed: f64) -> f64 {
        let (low, high) = self.speeds;
        BOTTOM - (speed.log10() - low) / (high - low).max(1e-9) * (BOTTOM - TOP)
    }
}

/// The picture. `title` names what was measured, `caveat` what a reader must know.
#[must_use]
pub fn svg(points: &[Point], title: &str, caveat: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _infallible = draw(&mut out, points, title, caveat);
    out
}

fn draw(out: &mut String, points: &[Point], title: &str, caveat: Option<&str>) -> std::fmt::Result {
    let scale = Scale::of(points);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">"#
    )?;
    writeln!(out, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#)?;
    text(out, LEFT, 28.0, "start", &format!("NetDMA copy speed, {title}"))?;
    if points.is_empty() {
        return writeln!(out, "</svg>");
    }
    for point in points {
        let x = scale.x(point.size);
        line(out, (x, TOP), (x, BOTTOM), "#dddddd", "")?;
        text(out, x, BOTTOM + 20.0, "middle", &table::bytes(point.size.into()))?;
    }
    let mut decade = scale.speeds.0;
    while decade <= scale.speeds.1 {
        let y = scale.y(10_f64.powf(decade));
        line(out, (LEFT, y), (RIGHT, y), "#dddddd", "")?;
        text(out, LEFT - 8.0, y + 4.0, "end", &format!("{}", 10_f64.powf(decade)))?;
        decade += 1.0;
    }
    text(out, LEFT, TOP - 10.0, "start", "MB/s")?;
    text(out, RIGHT, BOTTOM + 40.0, "end", "bytes of one copy")?;
    curve(out, points.iter().map(|point| (scale.x(point.size), scale.y(point.engine_speed()))), ENGINE, "")?;
    curve(
        out,
        points.iter().map(|point| (scale.x(point.size), scale.y(point.processor_speed()))),
        PROCESSOR,
        "7 4",
    )?;
    legend(out, 360.0, "engine", ENGINE, "")?;
    legend(out, 520.0, "processor", PROCESSOR, "7 4")?;
    let verdict = match break_even(points) {
        Some(size) => {
            let x = scale.x(size);
            line(out, (x, TOP), (x, BOTTOM), "black", "2 3")?;
            format!("break-even: {}", table::bytes(size.into()))
        }
        None => "no break-even in this range".to_owned(),
    };
    text(out, LEFT, BOTTOM + 40.0, "start", &verdict)?;
    if let Some(caveat) = caveat {
        text(out, LEFT, BOTTOM + 62.0, "start", caveat)?;
    }
    writeln!(out, "</svg>")
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) -> std::fmt::Result {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, dashes: &str) -> std::fmt::Result {
    writeln!(
        out,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}" stroke-dasharray="{dashes}"/>"#,
        from.0, from.1, to.0, to.1
    )
}

fn curve(
    out: &mut String,
    points: impl Iterator<Item = (f64, f64)>,
    colour: &str,
    dashes: &str,
) -> std::fmt::Result {
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(
        out,
        r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/>"#,
        points.join(" ")
    )
}

fn legend(out: &mut String, x: f64, words: &str, colour: &str, dashes: &str) -> std::fmt::Result {
    curve(out, [(x, 24.0), (x + 40.0, 24.0)].into_iter(), colour, dashes)?;
    text(out, x + 48.0, 28.0, "start", words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn points() -> Vec<Point> {
        let point = |size: u32, engine: u64, processor: u64| Point {
            size,
            copies: 1,
            engine: Duration::from_nanos(engine),
            processor: Duration::from_nanos(processor),
        };
        vec![point(1024, 2000, 100), point(4096, 2100, 400), point(65536, 6000, 8000)]
    }

    #[test]
    fn the_picture_marks_the_break_even_where_the_table_says_it() {
        let picture = svg(&points(), "channel 0.0", None);
        assert!(picture.contains("break-even: 64 KiB"), "{picture}");
        // 64 KiB is the largest size here, so the mark stands at the right edge.
        assert!(
            picture.contains(r#"<line x1="690.0" y1="60.0" x2="690.0" y2="360.0" stroke="black""#),
            "{picture}"
        );
        assert_eq!(picture.matches("<polyline").count(), 4);
    }

    #[test]
    fn everything_lies_inside_the_picture_and_words_cannot_break_it() {
        let picture = svg(&points(), "a < b & c", Some("x < y"));
        assert!(picture.contains("a &lt; b &amp; c") && picture.contains("x &lt; y"));
        for part in picture.split('"').filter_map(|part| part.parse::<f64>().ok()) {
            assert!((0.0..=WIDTH).contains(&part), "{part}");
        }
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    }
}
