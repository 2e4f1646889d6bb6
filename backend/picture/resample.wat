;; The two passes of resample.ts, four 32-bit sums at a time. Compiled to resample.wasm by `npm run wasm:build`.
;;
;; Both passes read each output line's taps from three arrays: the index of its first source line, the number of
;; lines, and `stride` bytes of 32-bit fixed-point weights. They read up to 15 bytes past a line and write up to 15
;; past its end, so at least 16 spare bytes must follow what they touch.
(module
  (memory (export "memory") 1)

  ;; Interleaved RGB: [rows, sourceBytes] to [rows, 3 x width].
  (func (export "horizontal")
    (param $source i32) (param $target i32) (param $rows i32) (param $sourceBytes i32) (param $width i32)
    (param $first i32) (param $count i32) (param $weights i32) (param $stride i32)
    (local $x i32) (local $from i32) (local $weight i32) (local $end i32) (local $sum v128)
    (loop $row
      (local.set $x (i32.const 0))
      (loop $pixel
        (local.set $sum (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $from
          (i32.add (local.get $source)
            (i32.mul (i32.const 3) (i32.load (i32.add (local.get $first) (i32.shl (local.get $x) (i32.const 2)))))))
        (local.set $weight (i32.add (local.get $weights) (i32.mul (local.get $x) (local.get $stride))))
        (local.set $end
          (i32.add (local.get $weight)
            (i32.shl (i32.load (i32.add (local.get $count) (i32.shl (local.get $x) (i32.const 2)))) (i32.const 2))))
        (loop $tap
          (local.set $sum
            (i32x4.add (local.get $sum)
              (i32x4.mul
                (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $from))))
                (v128.load32_splat (local.get $weight)))))
          (local.set $from (i32.add (local.get $from) (i32.const 3)))
          (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
          (br_if $tap (i32.lt_u (local.get $weight) (local.get $end))))
        (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22)))
        (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
        ;; The next pixel overwrites the fourth byte.
        (v128.store32_lane 0 (local.get $target) (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
        (local.set $target (i32.add (local.get $target) (i32.const 3)))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (br_if $pixel (i32.lt_u (local.get $x) (local.get $width))))
      (local.set $source (i32.add (local.get $source) (local.get $sourceBytes)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br_if $row (local.get $rows))))

  ;; [source rows, rowBytes] to [rows, rowBytes], 16 bytes at a time.
  (func (export "vertical")
    (param $source i32) (param $target i32) (param $rows i32) (param $rowBytes i32)
    (param $first i32) (param $count i32) (param $weights i32) (param $stride i32)
    (local $top i32) (local $at i32) (local $from i32) (local $weight i32) (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $bytes v128) (local $half v128) (local $factor v128)
    (loop $row
      (local.set $top
        (i32.add (local.get $source) (i32.mul (i32.load (local.get $first)) (local.get $rowBytes))))
      (local.set $end (i32.add (local.get $weights) (i32.shl (i32.load (local.get $count)) (i32.const 2))))
      (local.set $at (i32.const 0))
      (loop $chunk
        (local.set $a (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $b (local.get $a))
        (local.set $c (local.get $a))
        (local.set $d (local.get $a))
        (local.set $from (i32.add (local.get $top) (local.get $at)))
        (local.set $weight (local.get $weights))
        (loop $tap
          (local.set $factor (v128.load32_splat (local.get $weight)))
          (local.set $bytes (v128.load (local.get $from)))
          (local.set $half (i16x8.extend_low_i8x16_u (local.get $bytes)))
          (local.set $a
            (i32x4.add (local.get $a) (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $half)) (local.get $factor))))
          (local.set $b
            (i32x4.add (local.get $b) (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $half)) (local.get $factor))))
          (local.set $half (i16x8.extend_high_i8x16_u (local.get $bytes)))
          (local.set $c
            (i32x4.add (local.get $c) (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $half)) (local.get $factor))))
          (local.set $d
            (i32x4.add (local.get $d) (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $half)) (local.get $factor))))
          (local.set $from (i32.add (local.get $from) (local.get $rowBytes)))
          (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
          (br_if $tap (i32.lt_u (local.get $weight) (local.get $end))))
        (v128.store (i32.add (local.get $target) (local.get $at))
          (i8x16.narrow_i16x8_u
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $a) (i32.const 22)) (i32x4.shr_s (local.get $b) (i32.const 22)))
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $c) (i32.const 22)) (i32x4.shr_s (local.get $d) (i32.const 22)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $chunk (i32.lt_u (local.get $at) (local.get $rowBytes))))
      (local.set $target (i32.add (local.get $target) (local.get $rowBytes)))
      (local.set $first (i32.add (local.get $first) (i32.const 4)))
      (local.set $count (i32.add (local.get $count) (i32.const 4)))
      (local.set $weights (i32.add (local.get $weights) (local.get $stride)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br_if $row (local.get $rows)))))
