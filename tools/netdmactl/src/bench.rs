//! `bench`: engine against processor, by size.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use netdma_ioctl::{MAX_PIECES, Piece};
use serde_json::{Value, json};

use crate::Console;
use crate::client::{Claim, Client};
use crate::plot;
use crate::table::{self, Table};
use crate::transport::{Transport, Trouble};

/// Sizes of one copy: from where a descriptor hardly pays to where the engine's own speed decides.
const SIZES: [u32; 7] = [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// Most bytes that one measurement copies; small copies come as many as one request takes.
const MOST: u32 = 4 << 20;

/// What was measured for one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Bytes of a copy.
    pub size: u32,
    /// Copies of one measurement.
    pub copies: u32,
    /// Time of one copy by the engine, its share of the request included.
    pub engine: Duration,
    /// Time of one copy by the processor.
    pub processor: Duration,
}

impl Point {
    /// Bytes per microsecond, which is megabytes per second, by the engine.
    #[must_use]
    pub fn engine_speed(&self) -> f64 {
        speed(self.size, self.engine)
    }

    /// The same by the processor.
    #[must_use]
    pub fn processor_speed(&self) -> f64 {
        speed(self.size, self.processor)
    }
}

fn speed(size: u32, time: Duration) -> f64 {
    f64::from(size) / (time.as_secs_f64() * 1e6).max(1e-9)
}

/// The smallest size from which on the engine is at least as fast; `None` if it is not even for the largest.
#[must_use]
pub fn break_even(points: &[Point]) -> Option<u32> {
    let slower = points.iter().rposition(|point| point.engine > point.processor);
    points.get(slower.map_or(0, |position| position + 1)).map(|point| point.size)
}

/// Measures, and shows a table; draws it, too, if `picture` names a file.
///
/// # Errors
/// There is no engine or test client, a copy fails, or the picture cannot be written.
pub fn bench(
    transport: &mut dyn Transport,
    engine: usize,
    repeat: u32,
    picture: Option<&Path>,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let mut client = Client::open(transport)?;
    let claims = client.claim_one_each(Some(engine))?;
    let claim = claims.first().ok_or_else(|| Trouble::new(format!("engine {engine} has no free channel")))?;
    // A picture that cannot be written is not found out after all the measuring.
    let unwritable = |path: &Path, error| {
        Trouble::new(format!("--plot {}: the picture cannot be written: {error}", path.display()))
    };
    let mut file = match picture {
        Some(path) => Some(File::create(path).map_err(|error| unwritable(path, error))?),
        None => None,
    };
    let mut points = Vec::new();
    for size in SIZES {
        writeln!(console.err, "measuring copies of {}", table::bytes(size.into()))?;
        points.push(measure(&mut client, claim, size, repeat)?);
    }
    let caveat = client.caveat();
    if let (Some(path), Some(file)) = (picture, &mut file) {
        let drawn = plot::svg(&points, &format!("channel {}", claim.title()), caveat);
        file.write_all(drawn.as_bytes()).map_err(|error| unwritable(path, error))?;
    }
    if as_json {
        let list: Vec<Value> = points.iter().map(point_json).collect();
        let answer = json!({
            "channel": claim.title(), "caveat": caveat, "break_even": break_even(&points), "sizes": list,
        });
        writeln!(console.out, "{answer:#}")?;
        return Ok(true);
    }
    let mut table = Table::new(&[
        "Size",
        "Copies",
        "Engine, µs each",
        "Processor, µs each",
        "Engine, MB/s",
        "Processor, MB/s",
    ]);
    for point in &points {
        table.row([
            table::bytes(point.size.into()),
            point.copies.to_string(),
            format!("{:.3}", point.engine.as_secs_f64() * 1e6),
            format!("{:.3}", point.processor.as_secs_f64() * 1e6),
            format!("{:.1}", point.engine_speed()),
            format!("{:.1}", point.processor_speed()),
        ]);
    }
    table.print(console.out)?;
    writeln!(console.out)?;
    match break_even(&points) {
        Some(size) => writeln!(
            console.out,
            "break-even: from {} on the engine is at least as fast as the processor",
            table::bytes(size.into())
        )?,
        None => writeln!(
            console.out,
            "break-even: none up to {}",
            table::bytes(u64::from(SIZES[SIZES.len() - 1]))
        )?,
    }
    if let Some(caveat) = caveat {
        writeln!(console.out, "{caveat}")?;
    }
    Ok(true)
}

fn point_json(point: &Point) -> Value {
    json!({
        "size": point.size,
        "copies": point.copies,
        "engine_us": point.engine.as_secs_f64() * 1e6,
        "processor_us": point.processor.as_secs_f64() * 1e6,
    })
}

/// Measures one size `repeat` times with each of the two, and takes the medians. Both copy the same pieces of the same
/// buffer, and what they have copied is compared.
fn measure(client: &mut Client<'_>, claim: &Claim, size: u32, repeat: u32) -> Result<Point, Trouble> {
    let copies = (MOST / size).clamp(1, MAX_PIECES);
    let half = (size * copies) as usize;
    let mut buffer: Vec<u8> = (0..2 * half).map(|at| (at ^ at >> 8) as u8).collect();
    let pieces: Vec<Piece> = (0..copies)
        .map(|number| Piece {
            source: number * size,
            destination: half as u32 + number * size,
            length: size,
            flags: 0,
        })
        .collect();
    let (mut by_engine, mut by_processor) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        buffer[half..].fill(0);
        by_engine.push(client.copy(claim, &pieces, &mut buffer)?);
        let (source, destination) = buffer.split_at_mut(half);
        if source != destination {
            return Err(Trouble::new(format!(
                "channel {} copied wrongly: `netdmactl test` tells more; do not use this engine",
                claim.title()
            )));
        }
        destination.fill(0);
        let begun = Instant::now();
        for (from, to) in source.chunks_exact(size as usize).zip(destination.chunks_exact_mut(size as usize))
        {
            to.copy_from_slice(black_box(from));
            black_box(&to);
        }
        by_processor.push(begun.elapsed());
    }
    Ok(Point { size, copies, engine: median(by_engine) / copies, processor: median(by_processor) / copies })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(size: u32, engine: u64, processor: u64) -> Point {
        let [engine, processor] = [engine, processor].map(Duration::from_nanos);
        Point { size, copies: 1, engine, processor }
    }

    #[test]
    fn break_even_is_where_the_engine_stays_ahead() {
        let points = [point(1, 9, 1), point(2, 3, 4), point(4, 9, 8), point(8, 9, 9), point(16, 9, 20)];
        assert_eq!(break_even(&points), Some(8));
        assert_eq!(break_even(&points[3..]), Some(8));
        assert_eq!(break_even(&points[..3]), None);
        assert_eq!(break_even(&[]), None);
    }

    #[test]
    fn speed_is_megabytes_per_second() {
        assert!((point(1000, 1000, 500).engine_speed() - 1000.0).abs() < 1e-6);
        assert!((point(1000, 1000, 500).processor_speed() - 2000.0).abs() < 1e-6);
    }

    #[test]
    fn one_slow_measurement_does_not_move_the_median() {
        let times = [5, 1, 900, 3, 4].map(Duration::from_nanos);
        assert_eq!(median(times.to_vec()), Duration::from_nanos(4));
    }
}
