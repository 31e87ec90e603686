// Reads what vitest's JSON reporter wrote to the files named, names what failed and what was skipped, tells which files took
// longest, and ends with the counts.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

const SLOWEST = 10;
const counts = { passed: 0, failed: 0, skipped: 0 };
const reports = process.argv.slice(2).map(readReport);

for (const suite of reports.flatMap(({ testResults }) => testResults)) {
  const path = relative(process.cwd(), suite.name);
  for (const { status, fullName } of suite.assertionResults) {
    const outcome = status === 'passed' || status === 'failed' ? status : 'skipped';
    counts[outcome]++;
    if (outcome !== 'passed') console.log(`${outcome}: ${path}: ${fullName}`);
  }
  // A file that does not load, or whose hooks fail, has no failed test of its own.
  if (suite.status === 'failed' && !suite.assertionResults.some(({ status }) => status === 'failed')) {
    counts.failed++;
    console.log(`failed: ${path}: ${suite.message.split('\n')[0] || 'the file as a whole'}`);
  }
}

const seconds = ({ startTime, endTime }) => (endTime - startTime) / 1000;
const slowest = reports.flatMap(({ testResults }) => testResults).sort((a, b) => seconds(b) - seconds(a));
for (const suite of slowest.slice(0, SLOWEST)) {
  console.log(`${seconds(suite).toFixed(0).padStart(4)} s: ${relative(process.cwd(), suite.name)}`);
}

const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
// Vitest also fails on errors outside of tests.
if (counts.failed > 0 || counts.passed === 0 || reports.some(({ success }) => !success)) process.exitCode = 1;

function readReport(file) {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  counts.failed++;
  console.log(`failed: vitest left no ${file}: it did not start, or did not end`);
  return { testResults: [], success: false };
}
