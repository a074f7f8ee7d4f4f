//! PromQL as text and as a tree: lex, parse, check, print, function signatures.

pub mod ast;
pub mod functions;

pub use ast::{Ast, Expr, ExprId};
