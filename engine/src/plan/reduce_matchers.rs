//! Rewrite: the matchers of a selector without those that say nothing.
//!
//! A regular expression of one value becomes that value, `.+` becomes `!=""`, `.*` vanishes, and
//! beside `job="a"` whatever else `job="a"` fulfils vanishes, too. Which series match stays the
//! same. Fixed names matter most: rows of one metric cannot meet, so more runs on the shards.

use crate::index::CompiledMatcher;
use crate::model::{MatchOp, Matcher};
use crate::regex::Regex;

/// Longest pattern that is compiled here: the shards compile what remains again.
const PATTERN_BYTES_MAX: usize = 256;

/// The reduced matchers, in their order. At least one remains, unless there was none.
pub(super) fn reduce(matchers: &[Matcher]) -> Vec<Matcher> {
    let mut reduced: Vec<Matcher> = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match simplify(matcher) {
            Some(simple) if !reduced.contains(&simple) => reduced.push(simple),
            _ => {}
        }
    }
    let fixed: Vec<Matcher> =
        reduced.iter().filter(|matcher| matcher.op == MatchOp::Equal).cloned().collect();
    reduced.retain(|matcher| {
        let Some(fixed) = fixed.iter().find(|fixed| fixed.name == matcher.name) else {
            return true;
        };
        let follows = fixed != matcher
            && CompiledMatcher::new(matcher)
                .is_ok_and(|matcher| matcher.matches_value(fixed.value.as_bytes()));
        !follows
    });
    if reduced.is_empty() { matchers[..matchers.len().min(1)].to_vec() } else { reduced }
}

/// The matcher in its simplest form. `None`: every label set matches it.
fn simplify(matcher: &Matcher) -> Option<Matcher> {
    let (equal, negated) = match matcher.op {
        MatchOp::Regexp => (MatchOp::Equal, false),
        MatchOp::NotRegexp => (MatchOp::NotEqual, true),
        MatchOp::Equal | MatchOp::NotEqual => return Some(matcher.clone()),
    };
    let same = Some(matcher.clone());
    if matcher.value.len() > PATTERN_BYTES_MAX {
        return same;
    }
    let Ok(regex) = Regex::new(&matcher.value) else { return same };
    if regex.matches_anything() {
        return if negated { same } else { None };
    }
    if regex.matches_anything_set() {
        let op = if negated { MatchOp::Equal } else { MatchOp::NotEqual };
        return Some(Matcher::new(&matcher.name, op, ""));
    }
    match regex.set_matches() {
        Some([value]) => match str::from_utf8(value) {
            Ok(value) => Some(Matcher::new(&matcher.name, equal, value)),
            Err(_) => same,
        },
        _ => same,
    }
}

#[cfg(test)]
mod tests {
    use super::reduce;
    use crate::index::CompiledMatcher;
    use crate::model::Labels;
    use crate::promql::parse_selector;

    #[track_caller]
    fn check(selector: &str, expected: &str) {
        let matchers = parse_selector(selector).unwrap();
        let reduced = reduce(&matchers);
        let texts: Vec<String> = reduced.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join(","), expected, "{selector}");
        // Whatever the labels, both say the same.
        let (whole, short) =
            (CompiledMatcher::compile(&matchers), CompiledMatcher::compile(&reduced));
        let (whole, short) = (whole.unwrap(), short.unwrap());
        for a in ["", "x", "y", "xy", "x\ny", "."] {
            for b in ["", "x"] {
                let pairs = [("a", a), ("b", b)].into_iter().filter(|(_, value)| !value.is_empty());
                let labels = Labels::from_pairs(pairs);
                let all = |set: &[CompiledMatcher]| set.iter().all(|m| m.matches(labels.as_ref()));
                assert_eq!(all(&whole), all(&short), "{selector} {labels}");
            }
        }
    }

    #[test]
    fn what_says_nothing_vanishes() {
        check(r#"{a="x",a="x"}"#, r#"a="x""#);
        check(r#"{a=~".*",b="x"}"#, r#"b="x""#);
        check(r#"{a=~".*"}"#, r#"a=~".*""#);
        check(r#"{a=~"x"}"#, r#"a="x""#);
        check(r#"{a!~"x"}"#, r#"a!="x""#);
        check(r#"{a=~"x\\."}"#, r#"a="x.""#);
        check(r#"{a=~"(x)"}"#, r#"a="x""#);
        check(r#"{a=~".+"}"#, r#"a!="""#);
        check(r#"{a!~".+"}"#, r#"a="""#);
        check(r#"{a!~".*"}"#, r#"a!~".*""#);
        check(r#"{a=~"x|y"}"#, r#"a=~"x|y""#);
        check(r#"{a="x",a=~"x|y",a!="y",a!=""}"#, r#"a="x""#);
        check(r#"{a="x",a="y"}"#, r#"a="x",a="y""#);
        check(r#"{a="",a!=""}"#, r#"a="",a!="""#);
        check(r#"{a="x",b=~"x.*",b!="xx"}"#, r#"a="x",b=~"x.*",b!="xx""#);
    }
}
