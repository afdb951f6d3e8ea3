//! Columns.

use std::io::{self, Write};

/// Rows under a heading, each column as wide as its widest cell.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table under this heading.
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it: cells that are numbers to the right, others to the left.
    ///
    /// # Errors
    /// As `out`.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &'_ Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
            .collect();
        let numeric: Vec<bool> = (0..columns)
            .map(|column| {
                let mut cells = self.rows.iter().skip(1).map(|row| cell(row, column));
                cells.all(|text| {
                    text == "-" || text.starts_with(|first: char| first.is_ascii_digit() || first == '+')
                }) && self.rows.len() > 1
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, width) in widths.iter().enumerate() {
                let text = cell(row, column);
                let padded = match numeric.get(column) {
                    Some(true) => format!("{text:>width$}"),
                    _ => format!("{text:<width$}"),
                };
                line.push_str(&padded);
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `4 KiB`, `1 MiB`; what is no whole number of those, in bytes.
#[must_use]
pub fn bytes(number: u64) -> String {
    for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if number >= unit && number.is_multiple_of(unit) {
            return format!("{} {name}", number / unit);
        }
    }
    format!("{number} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(&["Name", "Copies"]);
        table.row(["0.0".to_owned(), "7".to_owned()]);
        table.row(["a".to_owned(), "1234567".to_owned()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "Name   Copies\n0.0         7\na     1234567\n");
    }

    #[test]
    fn sizes_are_named_when_they_are_whole() {
        assert_eq!(
            [512, 4096, 1 << 20, 3 << 30, 1025].map(bytes),
            ["512 B", "4 KiB", "1 MiB", "3 GiB", "1025 B"]
        );
    }
}
