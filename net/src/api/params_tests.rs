use super::*;

#[track_caller]
fn check_time(text: &str, expected: Result<i64, &str>) {
    assert_eq!(parse_time(text), expected.map_err(str::to_owned), "{text}");
}

#[test]
fn times() {
    check_time("0", Ok(0));
    check_time("1435781451.781", Ok(1_435_781_451_781));
    check_time("1435781451.7812", Ok(1_435_781_451_781));
    check_time("-1.5", Ok(-1500));
    check_time("1e9", Ok(1_000_000_000_000));
    check_time("2015-07-01T20:10:51.781Z", Ok(1_435_781_451_781));
    check_time("2015-07-01T20:10:51.781+02:00", Ok(1_435_774_251_781));
    check_time("2015-07-01T20:10:51+00:00", Ok(1_435_781_451_000));
    check_time(MIN_TIME_TEXT, Ok(MIN_TIME_MS));
    check_time(MAX_TIME_TEXT, Ok(MAX_TIME_MS));
    check_time("", Err("cannot parse \"\" to a valid timestamp"));
    check_time("x", Err("cannot parse \"x\" to a valid timestamp"));
    check_time("30s", Err("cannot parse \"30s\" to a valid timestamp"));
    check_time(
        "2015-07-01 20:10:51Z",
        Err("cannot parse \"2015-07-01 20:10:51Z\" to a valid timestamp"),
    );
    check_time(
        "2015-07-01T20:10:51",
        Err("cannot parse \"2015-07-01T20:10:51\" to a valid timestamp"),
    );
}

#[track_caller]
fn check_duration(text: &str, expected: Result<i64, &str>) {
    assert_eq!(parse_duration_ns(text), expected.map_err(str::to_owned), "{text}");
}

#[test]
fn durations() {
    check_duration("0", Ok(0));
    check_duration("1", Ok(1_000_000_000));
    check_duration("0.0005", Ok(500_000));
    check_duration("-3", Ok(-3_000_000_000));
    check_duration("5m", Ok(300_000_000_000));
    check_duration("1h30m", Ok(5_400_000_000_000));
    check_duration("1d1ms", Ok(86_400_001_000_000));
    for bad in ["", "x", "30m1h", "1m1m", "1.5h", "m", "5 m", "300y"] {
        let expected = format!("cannot parse {bad:?} to a valid duration");
        check_duration(bad, Err(&expected));
    }
    check_duration("1e10", Err("cannot parse \"1e10\" to a valid duration. It overflows int64"));
}

#[track_caller]
fn check_range(query: &str, expected: Result<(i64, i64, i64), &str>) {
    let grid = RangeGrid::from_form(&Form::parse(b"", query));
    let grid = grid.map(|grid| (grid.start_ms, grid.end_ms, grid.step_ms));
    assert_eq!(
        grid.as_ref().map_err(|error| error.message.as_str()),
        expected.as_ref().map_err(|e| *e)
    );
}

#[test]
fn ranges() {
    check_range("start=0&end=10&step=1", Ok((0, 10_000, 1000)));
    check_range("start=0&end=11000&step=1s", Ok((0, 11_000_000, 1000)));
    check_range("start=0&end=1&step=0.0001", Ok((0, 1000, 1)));
    check_range(
        "start=x&end=10&step=1",
        Err("invalid parameter \"start\": cannot parse \"x\" to a valid timestamp"),
    );
    check_range(
        "start=0&step=1",
        Err("invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
    );
    check_range(
        "start=2&end=1&step=1",
        Err("invalid parameter \"end\": end timestamp must not be before start time"),
    );
    check_range(
        "start=1&end=2&step=0",
        Err("invalid parameter \"step\": zero or negative query resolution step widths are not \
             accepted. Try a positive integer"),
    );
    check_range(
        "start=0&end=11001&step=1",
        Err("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)"),
    );
}

#[test]
fn limits() {
    let check = |query: &str, expected: Result<usize, &str>| {
        let got = limit(&Form::parse(b"", query)).map_err(|error| error.message);
        assert_eq!(got, expected.map_err(str::to_owned), "{query}");
    };
    check("", Ok(0));
    check("limit=5", Ok(5));
    check("limit=-1", Err("invalid parameter \"limit\": limit must be non-negative"));
    check(
        "limit=a",
        Err("invalid parameter \"limit\": strconv.Atoi: parsing \"a\": invalid syntax"),
    );
    check(
        "limit=99999999999999999999",
        Err("invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value \
             out of range"),
    );
}

#[test]
fn label_names_in_paths() {
    let check = |name: &str, expected: &str| assert_eq!(unescape_label_name(name), expected);
    check("job", "job");
    check("U__http_2e_status", "http.status");
    check("U__a__b", "a_b");
    check("U___e9_", "é");
    check("U__a_2", "U__a_2");
    check("U__a_zz_", "U__a_zz_");
}
