//! The pieces of a pattern on their way to a [`Hir`], with what Go's limits ask about them.

use regex_syntax::hir::Hir;

/// A piece of an alternative with what Go's limits ask about it.
pub(super) struct Node {
    pub piece: Piece,
    pub kind: Kind,
    pub height: u32,
    /// Instructions in Go's program.
    pub size: u64,
    /// Greatest product of nested repeat counts.
    pub repeats: i64,
}

/// A single character stays apart, so that a run of them becomes one literal.
pub(super) enum Piece {
    Char(char),
    Hir(Hir),
}

/// Concatenations and alternations dissolve in their like, and then add no height.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Concat,
    Alternate,
    Other,
}

impl Node {
    pub fn leaf(piece: Piece) -> Node {
        Node { piece, kind: Kind::Other, height: 1, size: 1, repeats: 1 }
    }
}

impl Piece {
    pub fn into_hir(self) -> Hir {
        match self {
            Piece::Char(char) => Hir::literal(char.to_string().into_bytes()),
            Piece::Hir(hir) => hir,
        }
    }
}

/// One node out of several in a row; runs of characters become literals.
pub(super) fn concat(mut pieces: Vec<Node>) -> Node {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_else(|| Node::leaf(Piece::Hir(Hir::empty())));
    }
    let count = pieces.len();
    let mut node = join(&pieces, Kind::Concat, 0);
    let mut hirs = Vec::new();
    let mut run = String::new();
    for piece in pieces {
        match piece.piece {
            Piece::Char(char) => run.push(char),
            Piece::Hir(hir) => {
                if !run.is_empty() {
                    hirs.push(Hir::literal(std::mem::take(&mut run).into_bytes()));
                }
                hirs.push(hir);
            }
        }
    }
    if run.chars().count() == count {
        (node.kind, node.height) = (Kind::Other, 1);
    }
    if !run.is_empty() {
        hirs.push(Hir::literal(run.into_bytes()));
    }
    node.piece = Piece::Hir(Hir::concat(hirs));
    node
}

/// One node out of several to choose from, the first preferred.
pub(super) fn alternate(mut alternatives: Vec<Node>) -> Node {
    if alternatives.len() <= 1 {
        return alternatives.pop().unwrap_or_else(|| Node::leaf(Piece::Hir(Hir::fail())));
    }
    let mut node = join(&alternatives, Kind::Alternate, alternatives.len() as u64 - 1);
    node.piece = Piece::Hir(Hir::alternation(
        alternatives.into_iter().map(|alternative| alternative.piece.into_hir()).collect(),
    ));
    node
}

/// The measures of `nodes` under one node of `kind`; its piece is still to be set.
fn join(nodes: &[Node], kind: Kind, size_own: u64) -> Node {
    let mut joined =
        Node { piece: Piece::Hir(Hir::empty()), kind, height: 1, size: size_own, repeats: 1 };
    for node in nodes {
        let level = u32::from(node.kind != kind);
        joined.height = joined.height.max(node.height + level);
        joined.size = joined.size.saturating_add(node.size);
        joined.repeats = joined.repeats.max(node.repeats);
    }
    joined
}
