use data::{Cached, Split};

use super::*;
use crate::stop::Stop;

fn recipe(flip: bool, crop_padding: u32) -> Recipe {
    let mut recipe = test_support::recipe(5);
    recipe.train.augmentation = spec::Augmentation { flip, crop_padding };
    recipe.unique_examples = 50;
    recipe.train.batch = 16;
    recipe
}

#[test]
fn every_way_of_feeding_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for (flip, padding) in [(false, 0), (true, 0), (false, 2), (true, 5)] {
        let recipe = recipe(flip, padding);
        let open = || {
            let mut log = |text: &str| panic!("{text}");
            Examples::open(&recipe, folder.path(), Device::Cpu, &Stop::default(), &mut log).unwrap()
        };
        let (host, mut device, mut streamed) = (open(), open(), open());
        let cached =
            Cached::open_or_build(&*host.source, Split::Train, 50, folder.path(), &|| false)
                .unwrap();
        device.train = Some(Resident::on_device(&cached, Device::Cpu));
        streamed.train = None;
        // From a step in the middle, as a resumed segment starts, and across the end of an epoch.
        let mut feeds =
            [&host, &device, &streamed].map(|set| Feed::start(set, &recipe, 2..12, Device::Cpu));
        for step in 2..12 {
            let [host, device, streamed] = feeds.each_mut().map(|feed| feed.batch(step).unwrap());
            for (way, batch) in [("device", device), ("streamed", streamed)] {
                assert!(
                    batch.images.equal(&host.images),
                    "{way} images, step {step}, flip {flip}, padding {padding}"
                );
                assert!(batch.labels.equal(&host.labels), "{way} labels, step {step}");
            }
        }
    }
}

#[test]
fn pixels_become_minus_one_to_one() {
    let pixels = Tensor::from_slice(&[0_u8, 51, 255]);
    let expected = Tensor::from_slice(&[-1.0_f32, -0.6, 1.0]);
    assert!(images(&pixels).allclose(&expected, 0.0, 1e-6, false));
}
