//! One lane: the ordered work of one session, at its pace.
//!
//! [`state`] decides and is pure; [`task`] sends one message and knows no rule; [`streams`] keeps
//! turns among the campaigns of a lane; [`work`] is what travels.

pub mod work;

pub mod streams;

pub mod gate;

pub mod hours;

pub mod kind;

pub mod memory;

pub mod pairs;

pub mod restore;

pub mod share;

pub mod shares;

pub mod step;

pub mod state;

pub mod task;
