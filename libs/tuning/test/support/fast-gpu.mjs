// A machine without CUDA whose WebGPU works, and takes as long as the environment says; its CPU takes 100 ms.
process.on('message', ({ provider, timed }) => {
  if (provider === 'cuda') process.send({ ok: false, why: 'no CUDA here' });
  else process.send({ ok: true, ms: timed ? (provider === 'webgpu' ? Number(process.env.TEST_WEBGPU_MS) : 100) : 0 });
});
