//! Command line words: switches, options with a value, and the rest.

use std::ffi::OsString;

use crate::command::Failure;

/// The words of one command line, sorted.
#[derive(Debug, Default)]
pub struct Arguments {
    switches: Vec<String>,
    options: Vec<(String, OsString)>,
    /// Words that belong to no option, in order; after `--` every word does.
    pub rest: Vec<OsString>,
}

impl Arguments {
    /// Sorts `words`. `switches` and `options` are the known names with their dashes (`"--package"`); an option's
    /// value is the next word or follows a `=`.
    ///
    /// # Errors
    /// An unknown name that begins with a dash, an option without a value, a switch with one.
    pub fn parse(words: Vec<OsString>, switches: &[&str], options: &[&str]) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(text) = word.to_str().filter(|text| text.len() > 1 && text.starts_with('-')) else {
                parsed.rest.push(word);
                continue;
            };
            if text == "--" {
                parsed.rest.extend(words.by_ref());
                continue;
            }
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text, None),
            };
            if options.contains(&name) {
                let value = inline.or_else(|| words.next());
                let value = value.ok_or_else(|| Failure::usage(format!("{name} wants a value after it")))?;
                parsed.options.push((name.to_owned(), value));
            } else if switches.contains(&name) {
                if inline.is_some() {
                    return Err(Failure::usage(format!("{name} takes no value")));
                }
                parsed.switches.push(name.to_owned());
            } else {
                let known: Vec<&str> = switches.iter().chain(options).copied().collect();
                return Err(Failure::usage(format!("unknown option {name}; known are: {}", known.join(" "))));
            }
        }
        Ok(parsed)
    }

    /// Whether the switch `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|given| given == name)
    }

    /// Every value given for the option `name`, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &OsString> {
        self.options.iter().filter(move |(given, _)| given == name).map(|(_, value)| value)
    }

    /// The last value given for the option `name`.
    pub fn value(&self, name: &str) -> Option<&OsString> {
        self.values(name).last()
    }

    /// Refuses words that belong to no option, for commands that take none.
    ///
    /// # Errors
    /// There is such a word.
    pub fn no_rest(&self) -> Result<(), Failure> {
        match self.rest.first() {
            Some(word) => Err(Failure::usage(format!("unexpected word {word:?}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, Failure> {
        let words = words.iter().map(OsString::from).collect();
        Arguments::parse(words, &["--verbose"], &["--package"])
    }

    #[test]
    fn options_take_the_next_word_or_the_text_after_an_equals_sign() {
        let arguments =
            parse(&["a", "--package", "x", "--package=y", "--verbose", "--", "--package"]).unwrap();
        assert_eq!(arguments.values("--package").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(arguments.value("--package").unwrap(), "y");
        assert!(arguments.has("--verbose"));
        assert_eq!(arguments.rest, ["a", "--package"]);
        assert!(arguments.no_rest().is_err());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let unknown = parse(&["--pakage", "x"]).unwrap_err().to_string();
        assert!(unknown.contains("--pakage") && unknown.contains("--package"), "{unknown}");
        assert!(parse(&["--package"]).is_err());
        assert!(parse(&["--verbose=1"]).is_err());
    }
}
