//! A backward pass that begins with a given gradient, as activation checkpointing needs.

use std::ffi::{c_char, c_void};
use std::ptr;

use tch::Tensor;

use crate::{TorchError, check, pointer};

unsafe extern "C" {
    fn ext_vjp(
        output: *mut c_void,
        gradient: *mut c_void,
        inputs: *const *mut c_void,
        count: usize,
        gradients: *mut *mut c_void,
    ) -> *mut c_char;
}

/// Gradients of `sum(output * gradient)` with respect to each of `inputs`, in their shapes; None
/// where `output` does not depend on one. Frees the graph on its way; `.grad` fields stay as they are.
///
/// # Errors
/// An output without a graph, a gradient of another shape, an input that needs no gradient: in
/// libtorch's words.
pub fn vjp(
    output: &Tensor,
    gradient: &Tensor,
    inputs: &[&Tensor],
) -> Result<Vec<Option<Tensor>>, TorchError> {
    let pointers: Vec<_> = inputs.iter().map(|input| pointer(input)).collect();
    let mut gradients = vec![ptr::null_mut::<c_void>(); inputs.len()];
    // SAFETY: tensors are borrowed for the length of the call, and both arrays have `inputs.len()` elements.
    let message = unsafe {
        ext_vjp(
            pointer(output),
            pointer(gradient),
            pointers.as_ptr(),
            pointers.len(),
            gradients.as_mut_ptr(),
        )
    };
    check(message)?;
    Ok(gradients.into_iter().map(owned).collect())
}

/// Takes over a tensor that `ext_vjp` made; null is none.
fn owned(pointer: *mut c_void) -> Option<Tensor> {
    // SAFETY: an `at::Tensor*` from `new`, which nobody else holds.
    (!pointer.is_null()).then(|| unsafe { Tensor::from_ptr(pointer.cast()) })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const OPTIONS: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn leaf(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn the_gradient_of_an_output_is_passed_on() {
        let (x, w, unused) = (leaf(&[1.0, 2.0]), leaf(&[3.0, 5.0]), leaf(&[1.0]));
        let output = &x * &x * &w;
        let gradient = Tensor::from_slice(&[1.0, 10.0]);
        let found = vjp(&output, &gradient, &[&x, &unused, &w]).unwrap();
        let [Some(of_x), None, Some(of_w)] = &found[..] else { panic!("{found:?}") };
        assert!(of_x.equal(&Tensor::from_slice(&[6.0, 200.0])));
        assert!(of_w.equal(&Tensor::from_slice(&[1.0, 40.0])));
        assert!(!x.grad().defined());
    }

    /// What checkpointing does: the second half first, then the first with what came out of it.
    #[test]
    fn halves_make_the_whole() {
        let w = Tensor::randn([4, 4], OPTIONS).set_requires_grad(true);
        let x = Tensor::randn([3, 4], OPTIONS).set_requires_grad(true);
        let (first, second) = (|x: &Tensor| x.matmul(&w).tanh(), |x: &Tensor| x.matmul(&w).sin());
        let seed = Tensor::ones([3, 4], OPTIONS);
        let whole = vjp(&second(&first(&x)), &seed, &[&x, &w]).unwrap();

        let middle = first(&x).detach().set_requires_grad(true);
        let late = vjp(&second(&middle), &seed, &[&middle, &w]).unwrap();
        let early = vjp(&first(&x), late[0].as_ref().unwrap(), &[&x, &w]).unwrap();
        assert!(early[0].as_ref().unwrap().allclose(
            whole[0].as_ref().unwrap(),
            1e-12,
            1e-12,
            false
        ));
        let sum = early[1].as_ref().unwrap() + late[1].as_ref().unwrap();
        assert!(sum.allclose(whole[1].as_ref().unwrap(), 1e-12, 1e-12, false));
    }

    #[test]
    fn what_autograd_refuses_is_an_error() {
        let (x, gradient) = (leaf(&[1.0, 2.0]), Tensor::from_slice(&[1.0]));
        let error = vjp(&(&x * 2.0), &gradient, &[&x]).unwrap_err().to_string();
        assert!(error.contains("shape"), "{error}");
        let constant = Tensor::from_slice(&[1.0, 2.0]);
        assert!(vjp(&constant, &constant, &[&x]).is_err());
    }
}
