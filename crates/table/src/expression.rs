//! SQL expressions of a table's columns: the filter of `--where`, and numbers computed from columns.
//!
//! The grammar is sqlparser's. What can be evaluated is what such expressions need: arithmetic,
//! comparisons, and, or, not, in, between, like, is null, and a few functions of numbers. As in SQL, an
//! empty cell makes what is computed from it empty, and a filter that is empty does not hold.

use sqlparser::ast::{BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::ast::{UnaryOperator, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Expr);

/// A value per row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cells {
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Truths(Vec<Option<bool>>),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("{0}")]
    Syntax(String),
    #[error("there is no column `{0}`")]
    UnknownColumn(String),
    #[error("`{0}` is not understood here")]
    Unsupported(String),
    #[error("`{0}` compares or combines numbers with text")]
    Types(String),
    #[error("it is no condition, which holds for a row or does not")]
    NoCondition,
}

type Result<T> = std::result::Result<T, ExpressionError>;

impl Expression {
    pub fn parse(text: &str) -> Result<Self> {
        let syntax = |error: sqlparser::parser::ParserError| {
            let text = error.to_string();
            ExpressionError::Syntax(text.trim_start_matches("sql parser error: ").to_owned())
        };
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(syntax)?;
        let parsed = parser.parse_expr().map_err(syntax)?;
        match parser.peek_token().token {
            sqlparser::tokenizer::Token::EOF => Ok(Self(parsed)),
            rest => Err(ExpressionError::Syntax(format!("`{rest}` follows a whole expression"))),
        }
    }

    /// The columns that it names.
    pub fn columns(&self) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        collect(&self.0, &mut columns)?;
        Ok(columns)
    }

    /// Its value for `n` rows, where `column` gives the cells of one.
    pub fn evaluate(&self, n: usize, column: &dyn Fn(&str) -> Option<Cells>) -> Result<Cells> {
        Table { n, column }.evaluate(&self.0)
    }
}

/// The operands of an expression; `None` for what has no place in one.
fn operands(expr: &Expr) -> Option<Vec<&Expr>> {
    Some(match expr {
        Expr::Identifier(_) | Expr::Value(_) => Vec::new(),
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => vec![inner],
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => vec![inner],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::Like { expr, pattern, .. } => vec![expr, pattern],
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let argument = |arg: &'_ FunctionArg| {
                matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)))
            };
            if !list.args.iter().all(argument) {
                return None;
            }
            let inner = list.args.iter().filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            });
            inner.collect()
        }
        _ => return None,
    })
}

fn collect(expr: &Expr, columns: &mut Vec<String>) -> Result<()> {
    if let Expr::Identifier(name) = expr {
        columns.push(name.value.clone());
    }
    let inner = operands(expr).ok_or_else(|| ExpressionError::Unsupported(expr.to_string()))?;
    inner.into_iter().try_for_each(|inner| collect(inner, columns))
}

struct Table<'a> {
    n: usize,
    column: &'a dyn Fn(&str) -> Option<Cells>,
}

impl Table<'_> {
    fn evaluate(&self, expr: &Expr) -> Result<Cells> {
        let unsupported = || ExpressionError::Unsupported(expr.to_string());
        let inner = operands(expr).ok_or_else(unsupported)?;
        let inner =
            inner.into_iter().map(|inner| self.evaluate(inner)).collect::<Result<Vec<_>>>()?;
        let types = || ExpressionError::Types(expr.to_string());
        match (expr, inner.as_slice()) {
            (Expr::Identifier(name), _) => (self.column)(&name.value)
                .ok_or_else(|| ExpressionError::UnknownColumn(name.value.clone())),
            (Expr::Value(value), _) => self.constant(&value.value).ok_or_else(unsupported),
            (Expr::Nested(_), [inner]) => Ok(inner.clone()),
            (Expr::UnaryOp { op, .. }, [inner]) => unary(op, inner).ok_or_else(types),
            (Expr::IsNull(_), [inner]) => Ok(Cells::Truths(inner.is_missing().map(Some).collect())),
            (Expr::IsNotNull(_), [inner]) => {
                Ok(Cells::Truths(inner.is_missing().map(|is| Some(!is)).collect()))
            }
            (Expr::BinaryOp { op, .. }, [left, right]) => binary(op, left, right).ok_or_else(types),
            (Expr::InList { negated, .. }, [one, list @ ..]) => {
                let equal = list.iter().map(|other| binary(&BinaryOperator::Eq, one, other));
                let any = equal.reduce(|a, b| binary(&BinaryOperator::Or, &a?, &b?)).flatten();
                negate_if(*negated, any.ok_or_else(types)?).ok_or_else(types)
            }
            (Expr::Between { negated, .. }, [one, low, high]) => {
                let above = binary(&BinaryOperator::GtEq, one, low).ok_or_else(types)?;
                let below = binary(&BinaryOperator::LtEq, one, high).ok_or_else(types)?;
                let inside = binary(&BinaryOperator::And, &above, &below).ok_or_else(types)?;
                negate_if(*negated, inside).ok_or_else(types)
            }
            (Expr::Like { negated, .. }, [Cells::Texts(texts), Cells::Texts(patterns)]) => {
                let like = each(texts, patterns, |text, pattern| matches(text, pattern));
                negate_if(*negated, Cells::Truths(like)).ok_or_else(types)
            }
            (Expr::Function(function), arguments) => {
                let name = function.name.to_string().to_lowercase();
                of_numbers(&name, arguments).ok_or_else(unsupported)
            }
            _ => Err(types()),
        }
    }

    fn constant(&self, value: &Value) -> Option<Cells> {
        Some(match value {
            Value::Number(text, _) => Cells::Numbers(vec![Some(text.parse().ok()?); self.n]),
            Value::SingleQuotedString(text) => Cells::Texts(vec![Some(text.clone()); self.n]),
            Value::Boolean(value) => Cells::Truths(vec![Some(*value); self.n]),
            Value::Null => Cells::Numbers(vec![None; self.n]),
            _ => return None,
        })
    }
}

impl Cells {
    fn is_missing(&self) -> Box<dyn Iterator<Item = bool> + '_> {
        match self {
            Self::Numbers(cells) => Box::new(cells.iter().map(Option::is_none)),
            Self::Texts(cells) => Box::new(cells.iter().map(Option::is_none)),
            Self::Truths(cells) => Box::new(cells.iter().map(Option::is_none)),
        }
    }
}

fn each<A, B, C>(
    left: &[Option<A>],
    right: &[Option<B>],
    of: impl Fn(&A, &B) -> C,
) -> Vec<Option<C>> {
    let pairs = left.iter().zip(right);
    pairs.map(|(left, right)| Some(of(left.as_ref()?, right.as_ref()?))).collect()
}

fn unary(op: &UnaryOperator, inner: &Cells) -> Option<Cells> {
    match (op, inner) {
        (UnaryOperator::Minus, Cells::Numbers(cells)) => {
            Some(Cells::Numbers(cells.iter().map(|cell| cell.map(|value| -value)).collect()))
        }
        (UnaryOperator::Plus, Cells::Numbers(_)) => Some(inner.clone()),
        (UnaryOperator::Not, _) => negate_if(true, inner.clone()),
        _ => None,
    }
}

fn negate_if(negated: bool, cells: Cells) -> Option<Cells> {
    let Cells::Truths(cells) = cells else { return None };
    Some(Cells::Truths(cells.into_iter().map(|cell| cell.map(|value| value != negated)).collect()))
}

fn binary(op: &BinaryOperator, left: &Cells, right: &Cells) -> Option<Cells> {
    use BinaryOperator as Op;
    match (left, right) {
        (Cells::Numbers(a), Cells::Numbers(b)) => {
            let number: Option<fn(&f64, &f64) -> f64> = match op {
                Op::Plus => Some(|a, b| a + b),
                Op::Minus => Some(|a, b| a - b),
                Op::Multiply => Some(|a, b| a * b),
                Op::Divide => Some(|a, b| a / b),
                Op::Modulo => Some(|a, b| a % b),
                _ => None,
            };
            match number {
                Some(of) => Some(Cells::Numbers(each(a, b, of))),
                None => compared(op, a, b),
            }
        }
        (Cells::Texts(a), Cells::Texts(b)) => compared(op, a, b),
        (Cells::Truths(a), Cells::Truths(b)) => match op {
            Op::And => Some(Cells::Truths(joined(a, b, false))),
            Op::Or => Some(Cells::Truths(joined(a, b, true))),
            _ => compared(op, a, b),
        },
        _ => None,
    }
}

fn compared<T: PartialOrd>(op: &BinaryOperator, a: &[Option<T>], b: &[Option<T>]) -> Option<Cells> {
    use BinaryOperator as Op;
    let of: fn(&T, &T) -> bool = match op {
        Op::Eq => |a, b| a == b,
        Op::NotEq => |a, b| a != b,
        Op::Lt => |a, b| a < b,
        Op::LtEq => |a, b| a <= b,
        Op::Gt => |a, b| a > b,
        Op::GtEq => |a, b| a >= b,
        _ => return None,
    };
    Some(Cells::Truths(each(a, b, of)))
}

/// Or, where `decisive` is true; and, where it is false: one decisive operand is enough, whatever the
/// other, even nothing.
fn joined(a: &[Option<bool>], b: &[Option<bool>], decisive: bool) -> Vec<Option<bool>> {
    let join = |(a, b): (&Option<bool>, &Option<bool>)| match (a, b) {
        (Some(a), _) if *a == decisive => Some(decisive),
        (_, Some(b)) if *b == decisive => Some(decisive),
        (Some(_), Some(_)) => Some(!decisive),
        _ => None,
    };
    a.iter().zip(b).map(join).collect()
}

fn of_numbers(name: &str, arguments: &[Cells]) -> Option<Cells> {
    match arguments {
        [Cells::Numbers(cells)] => {
            let of: fn(f64) -> f64 = match name {
                "abs" => f64::abs,
                "exp" => f64::exp,
                "ln" => f64::ln,
                "log10" => f64::log10,
                "log2" => f64::log2,
                "sqrt" => f64::sqrt,
                _ => return None,
            };
            Some(Cells::Numbers(cells.iter().map(|cell| cell.map(of)).collect()))
        }
        [Cells::Numbers(base), Cells::Numbers(exponent)] if name == "power" || name == "pow" => {
            Some(Cells::Numbers(each(base, exponent, |base, exponent| base.powf(*exponent))))
        }
        _ => None,
    }
}

/// SQL's LIKE: `%` is any text, `_` any character.
fn matches(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(&text[at..], rest.as_str()))
        }
        Some(wanted) => {
            let mut chars = text.chars();
            let is_here = chars.next().is_some_and(|c| wanted == '_' || wanted == c);
            is_here && matches(chars.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Option<Cells> {
        match name {
            "a" => Some(Cells::Numbers(vec![Some(1.0), Some(2.0), None])),
            "Seen Examples" => Some(Cells::Numbers(vec![Some(10.0), Some(20.0), Some(30.0)])),
            "model" => {
                Some(Cells::Texts(["B/16", "L/16", "L/14"].map(|text| Some(text.into())).into()))
            }
            _ => None,
        }
    }

    fn holds(text: &str) -> Result<Vec<Option<bool>>> {
        match Expression::parse(text)?.evaluate(3, &column)? {
            Cells::Truths(cells) => Ok(cells),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn conditions_hold_as_in_sql() {
        let check = |text: &str, expected: [Option<bool>; 3]| {
            assert_eq!(holds(text).unwrap(), expected, "{text}")
        };
        let (t, f) = (Some(true), Some(false));
        check("a > 1", [f, t, None]);
        check("a >= 1 and \"Seen Examples\" < 20", [t, f, f]);
        check("a = 2 or model = 'L/14'", [f, t, t]);
        check("not (model like 'L/%')", [t, f, f]);
        check("model in ('B/16', 'L/14')", [t, f, t]);
        check("model not in ('B/16')", [f, t, t]);
        check("\"Seen Examples\" between 15 and 25", [f, t, f]);
        check("a is null", [f, f, t]);
        check("a is not null and a <> 1", [f, t, f]);
        check("-a + 3 > 2 * a - 1", [t, f, None]);
        check("log10(\"Seen Examples\") <= 1.001", [t, f, f]);
        check("model like '_/1_' and model like '%6'", [t, t, f]);
    }

    #[test]
    fn numbers_are_computed_from_columns() {
        let expression = Expression::parse("\"Seen Examples\" / (6 * a)").unwrap();
        assert_eq!(expression.columns().unwrap(), ["Seen Examples", "a"]);
        let cells = expression.evaluate(3, &column).unwrap();
        assert_eq!(cells, Cells::Numbers(vec![Some(10.0 / 6.0), Some(20.0 / 12.0), None]));
    }

    #[test]
    fn what_cannot_be_evaluated_is_said() {
        let error = |text: &str| holds(text).unwrap_err().to_string();
        assert_eq!(error("b > 1"), "there is no column `b`");
        assert_eq!(error("model > 1"), "`model > 1` compares or combines numbers with text");
        assert!(error("a >").contains("found: EOF"), "{}", error("a >"));
        assert!(error("a > 1 2").contains("follows a whole expression"));
        assert!(error("exists (select 1)").contains("is not understood here"));
        assert!(error("sin(a) > 0").contains("`sin(a)` is not understood here"));
    }
}
