//! The functions of conditions: CEL's, and those of units.

use std::rc::Rc;

use cel::{Context, Value};

use super::unit::Unit;

thread_local! {
    /// CEL's functions and frostline's, which take 33 µs to register, shared by all tasks of a thread.
    static BASE: Rc<Context<'static, 'static>> = Rc::new(base_context());
}

fn base_context() -> Context<'static, 'static> {
    let mut base = Context::default();
    for unit in Unit::ALL {
        // Fails only for a name that CEL already has.
        let added = base.add_function(unit.function(), move |value: Value| unit.convert_value(&value));
        debug_assert!(added.is_ok(), "{}", unit.function());
    }
    base
}

/// The functions, for evaluations on one thread.
pub(super) struct Functions(Rc<Context<'static, 'static>>);

impl Functions {
    pub(super) fn new() -> Self {
        Self(BASE.with(Rc::clone))
    }

    /// A scope with all functions and no variables.
    pub(super) fn scope(&self) -> Context<'_, 'static> {
        self.0.new_inner_scope()
    }
}
