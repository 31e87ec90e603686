// A probe whose driver never answers.
process.on('message', () => {
  for (;;);
});
