//! The part of printf formatting that drivers use in messages.

use std::fmt::Write;

use crate::kernel::Kernel;

/// Expands `format` with arguments as the Windows x64 convention passes them, eight bytes each.
pub(crate) fn format(k: &Kernel, format: &str, arguments: &[u64]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter().copied();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut specification = String::new();
        while let Some(&next) = rest.peek() {
            specification.push(next);
            rest.next();
            if next.is_ascii_alphabetic() && !matches!(next, 'l' | 'h' | 'w' | 'I') || next == '%' {
                break;
            }
        }
        one(k, &specification, &mut arguments, &mut out);
    }
    out
}

fn one(k: &Kernel, specification: &str, arguments: &mut dyn Iterator<Item = u64>, out: &mut String) {
    let Some(conversion) = specification.chars().last() else { return };
    if conversion == '%' {
        return out.push('%');
    }
    let flags = &specification[..specification.len() - 1];
    let (prefix, precision) = flags.split_once('.').unwrap_or((flags, ""));
    let star = precision.starts_with('*').then(|| arguments.next().unwrap_or(0));
    let digits: String = precision.chars().take_while(char::is_ascii_digit).collect();
    let limit = star.map(|value| value as usize).or_else(|| digits.parse().ok());
    let width: String = prefix
        .chars()
        .skip_while(|c| !c.is_ascii_digit() || *c == '0')
        .take_while(char::is_ascii_digit)
        .collect();
    let width = width.parse().unwrap_or(0);
    let wide = flags.contains("ll") || flags.contains("I64") || matches!(conversion, 'p' | 's' | 'S' | 'Z');
    let value = arguments.next().unwrap_or(0);
    let value = if wide { value } else { value & 0xFFFF_FFFF };
    let text = match conversion {
        'd' | 'i' if wide => (value as i64).to_string(),
        'd' | 'i' => (value as i32).to_string(),
        'u' => value.to_string(),
        'x' => format!("{value:x}"),
        'X' => format!("{value:X}"),
        'p' => format!("{value:016X}"),
        'c' => char::from(value as u8).to_string(),
        'Z' if flags.contains('w') => k.unicode_string(value),
        's' | 'S' if value == 0 => "(null)".to_owned(),
        's' if flags.contains(['w', 'l']) => k.wide_string(value),
        'S' => k.wide_string(value),
        's' => match limit {
            Some(limit) => String::from_utf8_lossy(&k.bytes(value, limit)).trim_end_matches('\0').to_owned(),
            None => k.c_string(value),
        },
        other => format!("%{other}"),
    };
    let zeros = prefix.starts_with('0') && matches!(conversion, 'd' | 'i' | 'u' | 'x' | 'X');
    // Writing to a string cannot fail.
    let _ = if zeros { write!(out, "{text:0>width$}") } else { write!(out, "{text:>width$}") };
}
