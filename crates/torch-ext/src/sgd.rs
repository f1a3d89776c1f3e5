//! Stochastic gradient descent with momentum (Sutskever et al., 2013, as PyTorch scales it), one
//! kernel per call.

use std::ffi::{c_char, c_void};
use std::ptr;

use tch::Tensor;

use crate::{TorchError, check, pointer};

unsafe extern "C" {
    fn ext_fused_sgd(
        param: *mut c_void,
        grad: *mut c_void,
        momentum_buffer: *mut c_void,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
        grad_scale: *mut c_void,
    ) -> *mut c_char;
}

/// The tensors of one update, on one device; the first three of one shape and kind, f32 or f64.
#[derive(Debug)]
pub struct SgdState<'a> {
    pub param: &'a Tensor,
    pub grad: &'a Tensor,
    /// The sum of gradients and the share of it that the next step keeps; None is no momentum.
    pub momentum: Option<(&'a Tensor, f64)>,
    /// Scalar, f32, that the gradient is divided by (in place); None is 1.
    pub grad_scale: Option<&'a Tensor>,
}

/// `g = grad + wd p; m = momentum m + g; p = p - lr m`, or with Nesterov's look ahead
/// `p = p - lr (g + momentum m)`. Decay is thus decoupled without momentum only. `param` and the
/// momentum are updated in place.
///
/// # Errors
/// Tensors that do not fit each other, in libtorch's words.
pub fn fused_sgd(
    state: &SgdState<'_>,
    learning_rate: f64,
    weight_decay: f64,
    nesterov: bool,
) -> Result<(), TorchError> {
    let (buffer, momentum) = state
        .momentum
        .map_or((ptr::null_mut(), 0.0), |(buffer, momentum)| (pointer(buffer), momentum));
    // SAFETY: each pointer is null or a live `at::Tensor*`, borrowed for the length of the call.
    let message = unsafe {
        ext_fused_sgd(
            pointer(state.param),
            pointer(state.grad),
            buffer,
            learning_rate,
            momentum,
            weight_decay,
            nesterov,
            state.grad_scale.map_or(ptr::null_mut(), pointer),
        )
    };
    check(message)
}
