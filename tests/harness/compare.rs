//! Answers of two servers held against each other.

use serde_json::Value;

/// How far two sums of floats may lie apart: the order of addition is free.
const RELATIVE_ERROR_MAX: f64 = 1e-12;

/// Brings an answer's series, and its names and values, into one order.
pub fn put_in_order(json: &mut Value) {
    if let Some(result) = json.pointer_mut("/data/result").and_then(Value::as_array_mut)
        && result.iter().all(Value::is_object)
    {
        result.sort_by_key(|one| one["metric"].to_string());
    }
    if let Some(data) = json.pointer_mut("/data").and_then(Value::as_array_mut) {
        data.sort_by_key(Value::to_string);
    }
}

/// Equal, where two numbers in text may differ by rounding.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        (Value::String(left), Value::String(right)) if left != right => {
            let [Ok(left), Ok(right)] = [left, right].map(|text| text.parse::<f64>()) else {
                return false;
            };
            (left - right).abs() <= RELATIVE_ERROR_MAX * left.abs().max(right.abs())
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_in_text_may_differ_by_rounding_and_nothing_else_may() {
        let check = |left: Value, right: Value, expected: bool| {
            assert_eq!(same(&left, &right), expected, "{left} {right}");
            assert_eq!(same(&right, &left), expected, "{right} {left}");
        };
        check(json!([1, "0.1"]), json!([1, "0.10000000000000002"]), true);
        check(json!([1, "0.1"]), json!([1, "0.1000001"]), false);
        check(json!([1, "0.1"]), json!([2, "0.1"]), false);
        check(json!(["NaN"]), json!(["NaN"]), true);
        check(json!(["NaN"]), json!(["1"]), false);
        check(json!({"a": "x"}), json!({"a": "y"}), false);
        check(json!({"a": "x"}), json!({"b": "x"}), false);
        check(json!({"a": ["1", "2"]}), json!({"a": ["1"]}), false);
    }

    #[test]
    fn series_and_names_get_one_order() {
        let mut answer =
            json!({"data": {"result": [{"metric": {"a": "2"}}, {"metric": {"a": "1"}}]}});
        put_in_order(&mut answer);
        assert_eq!(answer["data"]["result"][0]["metric"]["a"], "1");
        let mut names = json!({"data": ["b", "a"]});
        put_in_order(&mut names);
        assert_eq!(names, json!({"data": ["a", "b"]}));
        let mut scalar = json!({"data": {"result": [2, "1"]}});
        put_in_order(&mut scalar);
        assert_eq!(scalar, json!({"data": {"result": [2, "1"]}}), "a time and its value");
    }
}
