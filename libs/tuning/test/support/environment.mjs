// A probe that names the variables of its environment that a test has set to `known`.
process.on('message', () => {
  const known = Object.keys(process.env).filter((name) => process.env[name] === 'known');
  process.send({ ok: false, why: known.join(' ') });
});
