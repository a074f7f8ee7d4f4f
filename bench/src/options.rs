//! `--name=value` arguments: taken one by one; what is left over is an error.

use std::str::FromStr;
use std::time::Duration;

use crate::body::Protocol;

/// What is wrong with the command line, in one sentence.
pub type OptionError = String;

#[derive(Clone, Debug, Default)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Errors: an argument that is not `--name=value`.
    pub fn parse(
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Options, OptionError> {
        args.into_iter()
            .map(|arg| {
                let arg = arg.into();
                let pair = arg.strip_prefix("--").and_then(|arg| arg.split_once('='));
                let (name, value) = pair.ok_or(format!("{arg}: options are --name=value"))?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect::<Result<_, OptionError>>()
            .map(Options)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    /// A number, `default` where it is not given.
    pub fn number<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, OptionError> {
        match self.take(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name}={text}: not a number")),
        }
    }

    /// Numbers separated by `,`; `default` is written in the same way.
    pub fn numbers<T: FromStr>(
        &mut self,
        name: &str,
        default: &str,
    ) -> Result<Vec<T>, OptionError> {
        let list = self.take(name).unwrap_or_else(|| default.to_owned());
        let number =
            |text: &str| text.parse().map_err(|_| format!("--{name}: {text} is no number"));
        list.split(',').map(number).collect()
    }

    /// A number that is above zero.
    pub fn count(&mut self, name: &str, default: usize) -> Result<usize, OptionError> {
        match self.number(name, default)? {
            0 => Err(format!("--{name}=0: must be above zero")),
            count => Ok(count),
        }
    }

    pub fn seconds(&mut self, default: f64) -> Result<Duration, OptionError> {
        let seconds: f64 = self.number("seconds", default)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|error| format!("--seconds={seconds}: {error}"))
    }

    pub fn protocol(&mut self) -> Result<Protocol, OptionError> {
        match self.number("protocol", 1)? {
            1 => Ok(Protocol::V1),
            2 => Ok(Protocol::V2),
            other => Err(format!("--protocol={other}: 1 or 2")),
        }
    }

    /// One of some words and what it stands for; the first where it is not given.
    pub fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, OptionError> {
        let given = self.take(name);
        let word = given.as_deref().unwrap_or(words[0].0);
        let found = words.iter().find(|(own, _)| *own == word).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(own, _)| *own).collect();
            format!("--{name}={word}: {}", all.join(" or "))
        })
    }

    /// Nothing may be left.
    pub fn done(self) -> Result<(), OptionError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("--{name}: no such option")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_taken_once_and_nothing_is_left_over() {
        let parse = |args: &[&str]| Options::parse(args.iter().copied());
        let mut options = parse(&["--series=5", "--rate=0.5", "--multiples=2,5"]).unwrap();
        assert_eq!(options.number("series", 1usize), Ok(5));
        assert_eq!(options.number("series", 1usize), Ok(1));
        assert_eq!(options.number("rate", 0.0), Ok(0.5));
        assert_eq!(options.numbers::<usize>("multiples", "7"), Ok(vec![2, 5]));
        assert_eq!(options.numbers::<usize>("multiples", "7"), Ok(vec![7]));
        assert_eq!(options.clone().done(), Ok(()));
        let mut options = parse(&["--by=id"]).unwrap();
        let words = [("labels", 1), ("id", 2)];
        assert_eq!(options.choice("by", &words), Ok(2));
        assert_eq!(options.choice("by", &words), Ok(1));
        let refused = parse(&["--by=x"]).unwrap().choice("by", &words);
        assert_eq!(refused, Err("--by=x: labels or id".to_owned()));
        let errors = [
            parse(&["series=5"]).unwrap_err(),
            parse(&["--x=1"]).unwrap().done().unwrap_err(),
            parse(&["--x=y"]).unwrap().number("x", 1u64).unwrap_err(),
            parse(&["--x=0"]).unwrap().count("x", 1).unwrap_err(),
            parse(&["--seconds=-1"]).unwrap().seconds(1.0).unwrap_err(),
            parse(&["--protocol=3"]).unwrap().protocol().unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.contains(['x', '3', '=', '1'])), "{errors:?}");
    }
}
