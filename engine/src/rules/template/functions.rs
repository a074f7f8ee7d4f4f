//! The functions a template may call: names, parameters, and who carries them out.
//!
//! Source: Go `text/template/funcs.go`; Prometheus `template/template.go`.

use super::value::Value;
use super::{builtins, extras};

/// Go's type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// `interface {}`, or the value as it is.
    Any,
    String,
    Vector,
    Sample,
}

impl Param {
    pub fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Vector => "template.queryResult",
            Param::Sample => "*template.sample",
        }
    }
}

/// Where a call gets what is not among its arguments.
pub(super) struct Surroundings<'a> {
    pub now_ms: i64,
    pub external_url: &'a str,
}

/// Why a call gives nothing.
pub(super) enum Failure {
    Message(String),
    /// The answer to this query is needed first.
    Query(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::Message(message.to_owned())
    }
}

pub(super) type Call = fn(&[Value], &Surroundings<'_>) -> Result<Value, Failure>;

pub(super) struct Function {
    pub name: &'static str,
    pub params: &'static [Param],
    /// Type of the parameters that follow, any number of them.
    pub variadic: Option<Param>,
    pub call: Call,
}

use Param::{Any, Sample, String as Text, Vector};

const fn fixed(name: &'static str, params: &'static [Param], call: Call) -> Function {
    Function { name, params, variadic: None, call }
}

const fn open(name: &'static str, params: &'static [Param], call: Call) -> Function {
    Function { name, params, variadic: Some(Any), call }
}

/// Go's own, and then Prometheus's. `and`, `or` and `query` have their work done in `run`.
const FUNCTIONS: &[Function] = &[
    open("and", &[Any], builtins::unreached),
    open("call", &[Any], builtins::call),
    open("html", &[], builtins::html),
    open("index", &[Any], builtins::index),
    open("slice", &[Any], builtins::slice),
    open("js", &[], builtins::js),
    fixed("len", &[Any], builtins::len),
    fixed("not", &[Any], builtins::not),
    open("or", &[Any], builtins::unreached),
    open("print", &[], builtins::print),
    open("printf", &[Text], builtins::printf),
    open("println", &[], builtins::println),
    open("urlquery", &[], builtins::urlquery),
    open("eq", &[Any], builtins::eq),
    fixed("ge", &[Any, Any], builtins::ge),
    fixed("gt", &[Any, Any], builtins::gt),
    fixed("le", &[Any, Any], builtins::le),
    fixed("lt", &[Any, Any], builtins::lt),
    fixed("ne", &[Any, Any], builtins::ne),
    fixed("query", &[Text], extras::query),
    fixed("first", &[Vector], extras::first),
    fixed("label", &[Text, Sample], extras::label),
    fixed("value", &[Sample], extras::value),
    fixed("strvalue", &[Sample], extras::strvalue),
    open("args", &[], extras::args),
    fixed("reReplaceAll", &[Text, Text, Text], extras::re_replace_all),
    fixed("safeHtml", &[Text], extras::safe_html),
    fixed("match", &[Text, Text], extras::is_match),
    fixed("title", &[Text], extras::title),
    fixed("toUpper", &[Text], extras::to_upper),
    fixed("toLower", &[Text], extras::to_lower),
    fixed("graphLink", &[Text], extras::graph_link),
    fixed("tableLink", &[Text], extras::table_link),
    fixed("sortByLabel", &[Text, Vector], extras::sort_by_label),
    fixed("stripPort", &[Text], extras::strip_port),
    fixed("stripDomain", &[Text], extras::strip_domain),
    fixed("humanize", &[Any], extras::humanize),
    fixed("humanize1024", &[Any], extras::humanize1024),
    fixed("humanizeDuration", &[Any], extras::humanize_duration),
    fixed("humanizePercentage", &[Any], extras::humanize_percentage),
    fixed("humanizeTimestamp", &[Any], extras::humanize_timestamp),
    fixed("toTime", &[Any], extras::to_time),
    fixed("toDuration", &[Any], extras::to_duration),
    fixed("now", &[], extras::now),
    fixed("pathPrefix", &[], extras::path_prefix),
    fixed("externalURL", &[], extras::external_url),
    fixed("parseDuration", &[Text], extras::parse_duration),
    fixed("urlQueryEscape", &[Text], extras::url_query_escape),
];

pub(super) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

pub(super) fn is_function(name: &str) -> bool {
    function(name).is_some()
}
