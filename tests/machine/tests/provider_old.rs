//! ioatdma.sys on the old engines, hardware 1.2 and 2.0: four channels in one function, one interrupt for all of them.
#![forbid(unsafe_code)]

mod provider;

use machine::client::ANY_CHANNEL;
use machine::lab::Failure;
use netdma_ioctl::CONTROL_ABORT;
use proof::proves;
use provider::{channel, nothing_left, seen, setup};

#[test]
fn a_1_2_engine_registers_as_1_1_and_copies() -> Result<(), Failure> {
    let mut lab = setup(0x1A38, |_| {}).boot()?;
    let added = seen(&mut lab, "DeviceAdded")?;
    proves!(image: R26, H41, H42;
        assert_eq!(added.first().and_then(|event| event.value("version")), Some(0x0101)));
    let (client, number) = channel(&mut lab)?;
    let copied = client.copy_verified(&mut lab, number, 200_003, 1)?;
    proves!(image: R117, R129, R126, H43; assert_eq!(copied, 200_003));
    client.copy_verified(&mut lab, number, 200_003, 2)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn the_four_channels_of_one_function_work_side_by_side() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F] {
        let mut lab = setup(device, |_| {}).boot()?;
        let client = lab.open()?;
        let mut channels = Vec::new();
        for _ in 0..4 {
            channels.push(client.open_channel(&mut lab, ANY_CHANNEL)?.number);
        }
        let fifth = client.open_channel(&mut lab, ANY_CHANNEL);
        proves!(image: R62, R100, R265; assert!(fifth.is_err(), "{device:04x}: four channels, not five"));
        for (seed, number) in channels.iter().enumerate() {
            let copied = client.copy_verified(&mut lab, *number, 60_000, seed as u64)?;
            proves!(image: R13, R256, H41; assert_eq!(copied, 60_000, "{device:04x}"));
        }
        let work: Vec<u64> = (0..4).map(|number| lab.engines[0].channel(number).copies).collect();
        assert!(work.iter().all(|copies| *copies > 1), "{device:04x}: every channel has copied: {work:?}");

        // One channel is aborted; the others do not notice.
        client.control(&mut lab, channels[0], CONTROL_ABORT)?;
        for (seed, number) in channels.iter().enumerate() {
            let copied = client.copy_verified(&mut lab, *number, 60_000, 10 + seed as u64)?;
            proves!(image: R188, R194; assert_eq!(copied, 60_000, "{device:04x}"));
        }
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}
