#!/bin/sh
touch /tmp/trueup-sentinel
