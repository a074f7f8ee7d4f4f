//! Times as the API writes them.

/// Go's `RFC3339Nano` in UTC; none is Go's zero time.
pub fn rfc3339(unix_ms: Option<i64>) -> String {
    unix_ms
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_as_go_does() {
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Some(1_435_781_451_780)), "2015-07-01T20:10:51.78Z");
    }
}
