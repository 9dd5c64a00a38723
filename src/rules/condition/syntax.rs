//! The syntax tree of a condition: what it may contain, and the place of each part in the text.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::unit::Unit;

/// Most nodes of a tree.
const NODES_MAX: usize = 1_000;
/// Deepest tree. Functions that walk through it recurse for each level.
const TREE_DEPTH_MAX: usize = 64;
/// A function that a condition may call.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How many values it takes, including the one before a point.
    values: usize,
    /// How it is used.
    pub(super) example: &'static str,
}

const fn function(name: &'static str, values: usize, example: &'static str) -> Function {
    Function { name, values, example }
}

/// The chance that the coming night gets as cold as its argument; see [`chances`](super::chances).
pub(super) const CHANCE: &str = "chance";
/// CEL's functions that a condition may call, besides those of units; the parser accepts any name.
const FUNCTIONS: [Function; 9] = [
    function("bool", 1, "bool('true')"),
    function("contains", 2, "station.name.contains('AIRPORT')"),
    function("double", 1, "double(SNOW)"),
    function("endsWith", 2, "station.name.endsWith(' AP')"),
    function("has", 1, "has(station.elevation)"),
    function("int", 1, "int(TMIN)"),
    function("size", 1, "size(station.name)"),
    function("startsWith", 2, "station.id.startsWith('US')"),
    function("string", 1, "string(SNOW)"),
];
/// Operators, which are calls of functions with names of other signs.
const OPERATORS: [&str; 17] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
];

/// All functions that a condition may call, sorted.
pub(super) fn functions() -> Vec<&'static str> {
    let mut names: Vec<&str> = all_functions().map(|function| function.name).collect();
    names.sort_unstable();
    names
}

fn all_functions() -> impl Iterator<Item = Function> {
    let units = Unit::ALL.map(|unit| function(unit.function(), 1, unit.example()));
    FUNCTIONS.into_iter().chain(units).chain([function(CHANCE, 1, "chance(-2.0) >= 0.3")])
}

/// The function with this name; `None` for an operator.
pub(super) fn find_function(name: &str) -> Option<Function> {
    all_functions().find(|function| function.name == name)
}

/// Why a call is wrong, whatever its values are.
fn refused_call(call: &CallExpr) -> Option<String> {
    let name = call.func_name.as_str();
    if OPERATORS.contains(&name) || name == operators::IN {
        return None;
    }
    let Some(function) = find_function(name) else {
        return Some(format!("unknown function `{name}`: expected one of {}", functions().join(", ")));
    };
    let Function { values, example, .. } = function;
    let given = call.args.len() + usize::from(call.target.is_some());
    // The functions with two values are those of texts, which CEL knows only after a point.
    if values == 2 && call.target.is_none() {
        return Some(format!(
            "`{name}` must follow a text and a point: write it as in {example} (decimals have a point)"
        ));
    }
    let noun = if values == 1 { "value" } else { "values" };
    (given != values).then(|| {
        format!(
            "`{name}` takes {values} {noun}, not {given}: write it as in {example}; decimals have a point"
        )
    })
}

/// The nodes directly under a node, in the order of the text.
pub(super) fn children(node: &Expr) -> Vec<&IdedExpr> {
    match node {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            });
            entries.flatten().collect()
        }
        // Refused by `Syntax::check`, which checks each node before its children.
        Expr::Comprehension(_) | Expr::Struct(_) => Vec::new(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

/// Whether it contains a value that depends on the observation.
pub(super) fn has_variables(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Ident(_)) || children(&node.expr).into_iter().any(has_variables)
}

/// A text and its tree.
#[derive(Clone, Copy)]
pub(super) struct Syntax<'a> {
    pub(super) text: &'a str,
    pub(super) root: &'a IdedExpr,
    pub(super) source: &'a SourceInfo,
}

impl<'a> Syntax<'a> {
    /// Checks the content of the tree. Returns the names of variables, each with the place of its first use.
    ///
    /// # Errors
    /// The first mistake: its place in bytes, and a sentence with `subject`.
    pub(super) fn check(&self, subject: &str) -> Result<Vec<(&'a str, usize)>, (usize, String)> {
        let (mut names, mut nodes): (Vec<(&str, usize)>, _) = (Vec::new(), 0);
        // Without recursion, because the depth is not known yet.
        let mut open = vec![(self.root, 1)];
        while let Some((node, depth)) = open.pop() {
            nodes += 1;
            if depth > TREE_DEPTH_MAX {
                let reason = format!("the {subject} is nested deeper than {TREE_DEPTH_MAX} levels");
                return Err((self.token_at(node), reason));
            }
            if nodes > NODES_MAX {
                return Err((self.token_at(node), format!("the {subject} has more than {NODES_MAX} parts")));
            }
            match &node.expr {
                Expr::Comprehension(_) => return Err(self.refused_macro(node)),
                Expr::Struct(_) => {
                    return Err((
                        self.token_at(node),
                        format!("the {subject} makes an object: only lists and maps can be written"),
                    ));
                }
                Expr::Call(call) => {
                    if let Some(reason) = refused_call(call) {
                        return Err((self.name_at(node, &call.func_name), reason));
                    }
                }
                Expr::Ident(name) if !names.iter().any(|(known, _)| known == name) => {
                    names.push((name, self.token_at(node)));
                }
                _ => {}
            }
            open.extend(children(&node.expr).into_iter().rev().map(|child| (child, depth + 1)));
        }
        Ok(names)
    }

    /// The place of the first `null`, in bytes.
    pub(super) fn null(&self) -> Option<usize> {
        let mut open = vec![self.root];
        let mut found = Vec::new();
        while let Some(node) = open.pop() {
            if matches!(node.expr, Expr::Literal(LiteralValue::Null)) {
                found.push(self.token_at(node));
            }
            open.extend(children(&node.expr));
        }
        found.into_iter().min()
    }

    /// Macros run over lists and can be nested without limit: 60 numbers in eight levels never end.
    fn refused_macro(&self, node: &IdedExpr) -> (usize, String) {
        let before = self.text[..self.token_at(node)].trim_end();
        let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let reason = format!(
            "`{}` runs over a list, which is not allowed in conditions: write the comparisons out, joined with && or ||, or \
             use `in`, as in station.state_code in ['AZ', 'NM']",
            &before[start..]
        );
        (start, reason)
    }

    /// The place of a node's token, in bytes: for a call, that of its operator or bracket.
    pub(super) fn token_at(&self, node: &IdedExpr) -> usize {
        let start = self.source.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        (0..=start.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }

    /// The place of a called function's name, right before its bracket.
    fn name_at(&self, node: &IdedExpr, name: &str) -> usize {
        let bracket = self.token_at(node);
        let before = self.text[..bracket].trim_end();
        if before.ends_with(name) { before.len() - name.len() } else { bracket }
    }

    /// The start of a node's text, in bytes, without surrounding brackets.
    pub(super) fn start(&self, node: &IdedExpr) -> usize {
        let own = match &node.expr {
            Expr::Call(call) => self.name_at(node, &call.func_name),
            // It replaces a call.
            Expr::Ident(name) if name.contains('#') => self.name_at(node, CHANCE),
            _ => self.token_at(node),
        };
        children(&node.expr).into_iter().map(|child| self.start(child)).fold(own, usize::min)
    }
}
