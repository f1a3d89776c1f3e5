//! AdamW (Loshchilov & Hutter, 1711.05101, algorithm 2, as PyTorch scales it), one kernel per call.

use std::ffi::{c_char, c_void};
use std::ptr;

use tch::Tensor;

use crate::{TorchError, check, pointer};

unsafe extern "C" {
    fn ext_fused_adamw(
        param: *mut c_void,
        grad: *mut c_void,
        exp_avg: *mut c_void,
        exp_avg_sq: *mut c_void,
        step: *mut c_void,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        grad_scale: *mut c_void,
    ) -> *mut c_char;
}

/// The tensors of one update, on one device; the first four of one shape and kind, f32 or f64.
#[derive(Debug)]
pub struct AdamWState<'a> {
    pub param: &'a Tensor,
    pub grad: &'a Tensor,
    pub exp_avg: &'a Tensor,
    pub exp_avg_sq: &'a Tensor,
    /// Scalar, f32: number of this update, 1 for the first.
    pub step: &'a Tensor,
    /// Scalar, f32, that the gradient is divided by (in place); None is 1.
    pub grad_scale: Option<&'a Tensor>,
}

/// `m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p = p (1 - lr wd) - lr m' / (sqrt(v') + eps)`,
/// where `m' = m / (1 - b1^step)` and `v' = v / (1 - b2^step)`. `param`, `exp_avg` and
/// `exp_avg_sq` are updated in place.
///
/// # Errors
/// Tensors that do not fit each other, in libtorch's words.
pub fn fused_adamw(
    state: &AdamWState<'_>,
    learning_rate: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
) -> Result<(), TorchError> {
    // SAFETY: each pointer is a live `at::Tensor*`, borrowed for the length of the call.
    let message = unsafe {
        ext_fused_adamw(
            pointer(state.param),
            pointer(state.grad),
            pointer(state.exp_avg),
            pointer(state.exp_avg_sq),
            pointer(state.step),
            learning_rate,
            betas.0,
            betas.1,
            weight_decay,
            eps,
            state.grad_scale.map_or(ptr::null_mut(), pointer),
        )
    };
    check(message)
}
