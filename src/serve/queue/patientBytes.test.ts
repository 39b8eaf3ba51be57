import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPatientBytes } from './patientBytes.js';

test('as many images come in as leave half of the bytes, by the largest of late; one always may', () => {
  const patient = createPatientBytes(1000);
  const places = () => {
    let most = 0;
    while (most < 1000 && patient.leaveRoom(most)) most++;
    return most;
  };
  assert.equal(places(), 8, 'before any image is known');
  patient.waits(100);
  assert.equal(places(), 5);
  patient.left(100);
  assert.equal(places(), 5, 'of the size of the last one');
  patient.waits(10);
  assert.equal(places(), 6, 'a small one between large ones changes little');
  patient.left(10);
  for (let i = 0; i < 50; i++) {
    patient.waits(10);
    patient.left(10);
  }
  assert.equal(places(), 50, 'many change it');
  patient.waits(600);
  assert.equal(patient.leaveRoom(1), false);
  patient.left(600);
  assert.equal(places(), 1);
});
