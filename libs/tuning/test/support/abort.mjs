// A probe whose driver takes the whole process down.
process.on('message', () => {
  console.error('/opt/vendor/lib/libdriver.so: assertion failed');
  process.abort();
});
