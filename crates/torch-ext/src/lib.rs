//! The few libtorch calls that tch lacks, safe to use. Nothing that the trainer does not need is
//! here, and no other crate of ours holds `unsafe` code around libtorch.
#![expect(
    unsafe_code,
    reason = "this crate is the boundary to C++: src/ext.cpp catches every exception"
)]

mod adamw;
mod autograd;
mod process;
mod sgd;

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

pub use adamw::{AdamWState, fused_adamw};
pub use autograd::vjp;
pub use process::{
    Autocast, cuda_device_name, cuda_free_bytes, cuda_peak_bytes, flush_denormals,
    keep_freed_memory, libtorch_version, load_cuda, reset_cuda_peak, return_freed_cuda_memory,
    return_freed_memory, use_deterministic_algorithms,
};
pub use sgd::{SgdState, fused_sgd};

/// What libtorch, or the loader, said.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(String);

unsafe extern "C" {
    fn ext_free(message: *mut c_char);
}

/// The `at::Tensor*` behind a tensor, for a call that it outlives.
fn pointer(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast::<c_void>().cast_mut()
}

/// Takes the message that a function of `ext.cpp` returned; null is success.
fn check(message: *mut c_char) -> Result<(), TorchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a string that ext.cpp allocated for us and keeps no pointer to.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; freed once, after its last use.
    unsafe { ext_free(message) };
    Err(TorchError(text.lines().next().unwrap_or_default().to_owned()))
}
